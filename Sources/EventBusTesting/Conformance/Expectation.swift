package import EventBus

/// Throws ``ConformanceFailure`` with `message` unless `condition` holds.
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

/// Waits until `condition` holds; throws ``ConformanceFailure`` if it does not within `limit` of real time.
///
/// It looks again every few milliseconds: what stands behind a network gives no notice of a change.
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
