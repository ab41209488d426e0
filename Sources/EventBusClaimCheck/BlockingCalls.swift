internal import Dispatch
internal import EventBus

/// Threads for calls that block, a few at a time.
///
/// A call on a network file system may never return. A task that is cancelled does not wait for it, but the call keeps its
/// place until it ends, so that no more than `limit` threads are lost.
final class BlockingCalls: Sendable {
    private let permits: Permits
    private let queue = DispatchQueue(label: "eventbus.claim-check", attributes: .concurrent)

    init(limit: Int) {
        permits = Permits(limit)
    }

    /// Runs a call and returns its result.
    ///
    /// - Throws: The error of the call, or `CancellationError` if the task is cancelled first. The call may take effect
    ///   nevertheless.
    func run<Value: Sendable>(_ call: @escaping @Sendable () throws -> Value) async throws -> Value {
        try Task.checkCancellation()
        try await permits.acquire()
        let outcome = OneShot<Result<Value, any Error>>()
        queue.async { [permits] in
            let result = Result { try call() }
            permits.release()
            outcome.resolve(result)
        }
        return try await outcome.wait(onCancel: { outcome.resolve(.failure(CancellationError())) }).get()
    }
}
