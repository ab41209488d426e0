/// The middleware of the events of a batch, which runs in a task for each event.
///
/// The tasks are not children of the caller's, because a step that ignores cancellation is left behind.
final class BatchChains: Sendable {
    private struct State {
        var tasks: [Task<Void, Never>] = []
        var isCancelled = false
        var results: [Int: Result<PublishReceipt, any Error>] = [:]
        /// The events whose results are awaited.
        var awaited: Set<Int>?
    }

    private let state = Locked(State())
    private let completion = OneShot<Void>()

    /// The results of the chains that have ended, by the position of their events.
    var results: [Int: Result<PublishReceipt, any Error>] { state.withLock { $0.results } }

    /// Starts the chain of an event.
    ///
    /// - Parameter onEnd: A closure that is called when its result has been stored.
    func start(
        _ index: Int,
        _ chain: @escaping @Sendable () async throws -> PublishReceipt,
        onEnd: @escaping @Sendable () -> Void
    ) {
        let task = Task {
            do {
                note(index, .success(try await chain()))
            } catch {
                note(index, .failure(error))
            }
            onEnd()
        }
        let isCancelled = state.withLock { state in
            state.tasks.append(task)
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    private func note(_ index: Int, _ result: Result<PublishReceipt, any Error>) {
        let isComplete = state.withLock { state in
            state.results[index] = result
            guard let awaited = state.awaited, awaited.contains(index) else { return false }
            state.awaited?.remove(index)
            return awaited.count == 1
        }
        if isComplete { completion.resolve(()) }
    }

    /// Waits for the results of some events, or until ``expire()`` is called.
    func end(of indices: Set<Int>) async {
        let isComplete = state.withLock { state in
            let awaited = indices.subtracting(state.results.keys)
            state.awaited = awaited
            return awaited.isEmpty
        }
        if !isComplete { await completion.wait(onCancel: {}) }
    }

    /// Ends the wait for results.
    func expire() { completion.resolve(()) }

    /// Cancels all chains, also those that start later.
    func cancel() {
        let tasks = state.withLock { state in
            state.isCancelled = true
            return state.tasks
        }
        for task in tasks { task.cancel() }
    }
}
