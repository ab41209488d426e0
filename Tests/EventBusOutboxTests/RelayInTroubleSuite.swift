import Testing

/// Tests that move a manual clock on while a relay works: one at a time, since each keeps a processor busy.
@Suite("A relay in trouble", .serialized)
enum RelayInTroubleSuite {}
