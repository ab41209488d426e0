/// Runs `operation`, and passes the cancellation of the calling task on after a time in which it can end by itself.
func withGrace<Result: Sendable>(
    _ grace: Duration,
    _ operation: @escaping @Sendable () async -> Result
) async -> Result {
    let task = Task { await operation() }
    return await withTaskCancellationHandler {
        await task.value
    } onCancel: {
        Task {
            try? await Task.sleep(for: grace)
            task.cancel()
        }
    }
}
