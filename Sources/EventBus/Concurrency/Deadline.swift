/// Runs `operation` and cancels it when `deadline` passes.
///
/// It costs a task group: for rare waits, not for every event. The operation has to heed cancellation.
///
/// - Returns: The operation's result, or `nil` when the deadline passed first.
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
        // The operation may have finished in the very moment the deadline passed: then its result counts.
        return try? await group.next() ?? nil
    }
}

/// Runs `operation` so that the cancellation of the calling task does not reach it, whether the task is cancelled before
/// or while the operation runs.
package func withoutCancellation<Result: Sendable>(
    _ operation: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    // A task of its own is the shield: cancellation does not reach into it.
    try await Task { try await operation() }.value
}

/// Runs `operation` so that the cancellation of the calling task does not reach it, whether the task is cancelled before
/// or while the operation runs.
package func withoutCancellation<Result: Sendable>(
    _ operation: @escaping @Sendable () async -> Result
) async -> Result {
    await Task { await operation() }.value
}
