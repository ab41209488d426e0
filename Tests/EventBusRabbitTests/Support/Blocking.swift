import ConnectionThread

/// Runs `body`, which may block, on a separate thread.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    let outcome: Swift.Result<Result, any Error> = await withCheckedContinuation { continuation in
        let problem = startDetachedThread(name: "test-blocking", stackSize: 1 << 20) {
            continuation.resume(returning: Swift.Result { try body() })
        }
        if problem != 0 {
            let failure = ProcessFailure(command: "thread", status: problem, output: "")
            continuation.resume(returning: .failure(failure))
        }
    }
    return try outcome.get()
}
