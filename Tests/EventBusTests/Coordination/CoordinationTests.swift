import Testing

/// The suites of lock and cache policy. They are nested, so that `--filter Coordination` finds them.
@Suite("Coordination", .timeLimit(.minutes(2)))
enum CoordinationTests {}
