/// Runs `operation` and cancels it when `deadline` passes.
///
/// It creates a task group, so it is meant for rare waits, not for every event. The operation must respond to
/// cancellation.
///
/// - Returns: The operation's result, or `nil` if the deadline passed first.
package func withDeadline<Result: Sendable>(
    _ deadline: AnyClock.Instant,
    clock: AnyClock,
    _ operation: @escaping @Sendable () async throws -> Result
) async throws -> Result? {
    try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await operation() }
        group.addTask {
            try await clock.sleep(until: deadline)
            return nil
        }
        defer { group.cancelAll() }
        let first = try await group.next() ?? nil
        guard first == nil else { return first }
        group.cancelAll()
        // The operation may have finished at the very moment the deadline passed. Then its result counts.
        return try? await group.next() ?? nil
    }
}

/// Like ``withDeadline(_:clock:_:)``, for an operation of a user, which may ignore its cancellation. It is then left
/// behind.
package func withFirmDeadline<Result: Sendable>(
    _ deadline: AnyClock.Instant,
    clock: AnyClock,
    _ operation: @escaping @Sendable () async throws -> Result
) async throws -> Result? {
    try Task.checkCancellation()
    let outcome = OneShot<Swift.Result<Result?, any Error>>()
    let work = Task {
        do {
            outcome.resolve(.success(try await operation()))
        } catch {
            outcome.resolve(.failure(error))
        }
    }
    let timer = Task {
        if (try? await clock.sleep(until: deadline)) != nil { outcome.resolve(.success(nil)) }
    }
    defer {
        work.cancel()
        timer.cancel()
    }
    return try await outcome.wait(onCancel: { outcome.resolve(.failure(CancellationError())) }).get()
}

/// Runs `operation` shielded from the cancellation of the calling task, whether the task is cancelled before or during
/// the operation.
package func withoutCancellation<Result: Sendable>(
    _ operation: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    // A separate task is the shield, because cancellation does not reach it.
    try await Task { try await operation() }.value
}

/// Runs `operation` shielded from the cancellation of the calling task, whether the task is cancelled before or during
/// the operation.
package func withoutCancellation<Result: Sendable>(
    _ operation: @escaping @Sendable () async -> Result
) async -> Result {
    await Task { await operation() }.value
}

/// Waits until the first of two steps has ended, and cancels the other.
func first(
    _ one: @escaping @Sendable () async throws -> Void,
    or other: @escaping @Sendable () async throws -> Void
) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await one() }
        group.addTask { try await other() }
        defer { group.cancelAll() }
        try await group.next()
    }
}
