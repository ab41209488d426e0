import Logging
import Testing

/// Waits for at most 30 seconds until a condition is true.
func eventually(
    _ what: Comment = "the condition comes true",
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while try await !condition() {
        try #require(ContinuousClock.now < deadline, what, sourceLocation: sourceLocation)
        try await Task.sleep(for: .milliseconds(2))
    }
}

extension Logger {
    /// A logger that discards its messages.
    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}
