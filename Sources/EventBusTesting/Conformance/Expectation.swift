package import EventBus

/// Throws ``ConformanceFailure`` with `message` unless `condition` is true.
package func expect(
    _ condition: Bool,
    _ message: @autoclosure () -> String,
    file: String = #fileID,
    line: Int = #line
) throws {
    guard !condition else { return }
    throw ConformanceFailure(message(), file: file, line: line)
}

/// Throws ``ConformanceFailure`` unless `body` throws an ``/EventBus/EventBusError`` with one of these codes.
package func expectError(
    _ codes: EventBusError.Code...,
    from what: String,
    file: String = #fileID,
    line: Int = #line,
    _ body: () async throws -> Void
) async throws {
    let expected = codes.map(\.description).joined(separator: " or ")
    do {
        try await body()
    } catch let error as EventBusError where codes.contains(error.code) {
        return
    } catch {
        throw ConformanceFailure("\(what) should throw \(expected), but threw \(error)", file: file, line: line)
    }
    throw ConformanceFailure("\(what) should throw \(expected), but returned", file: file, line: line)
}

/// Waits until `condition` is true. Throws ``ConformanceFailure`` if it is not within `limit` of real time.
///
/// It checks the condition every few milliseconds, because a store behind a network reports no changes.
package func eventually(
    _ what: @autoclosure () -> String,
    within limit: Duration = .seconds(30),
    file: String = #fileID,
    line: Int = #line,
    _ condition: () async throws -> Bool
) async throws {
    let clock = ContinuousClock()
    let deadline = clock.now.advanced(by: limit)
    while try await !condition() {
        guard clock.now < deadline else {
            throw ConformanceFailure("not within \(limit): \(what())", file: file, line: line)
        }
        try await clock.sleep(for: .milliseconds(5))
    }
}
