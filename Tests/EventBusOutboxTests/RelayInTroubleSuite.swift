import Testing

/// Tests that advance a manual clock while a relay works. They are serialized, because each keeps a core busy.
@Suite("Relay errors and retries", .serialized)
enum RelayInTroubleSuite {}
