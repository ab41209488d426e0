import Testing

/// The suites of lock, cache and inbox. They are nested, so that `--filter Coordination` finds them.
@Suite("Coordination in memory", .timeLimit(.minutes(2)))
enum CoordinationTests {}
