import Testing

/// Waits until `condition` is true. Records a failure after `limit`.
func eventually(
    _ what: Comment,
    within limit: Duration = .seconds(20),
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now.advanced(by: limit)
    while try await !condition() {
        guard clock.now < deadline else {
            Issue.record(what, sourceLocation: sourceLocation)
            return
        }
        try await clock.sleep(for: .milliseconds(2))
    }
}
