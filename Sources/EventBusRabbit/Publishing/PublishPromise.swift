import EventBus

/// The receiver of a publish's outcome. Each is resolved exactly once.
enum PublishPromise: Sendable {
    case single(CheckedContinuation<PublishOutcome, any Error>)
    case batch(PublishBatchPromise, index: Int)
    /// Nobody waits, as for a reply.
    case none

    func resolve(_ result: Result<PublishOutcome, any Error>) {
        switch self {
        case .single(let continuation): continuation.resume(with: result)
        case .batch(let batch, let index): batch.resolve(index, result)
        case .none: break
        }
    }
}

/// A collector of the outcomes of events that are published together.
final class PublishBatchPromise: Sendable {
    typealias Results = [Result<PublishOutcome, any Error>]

    private struct State {
        var results: [Result<PublishOutcome, any Error>?]
        var missing: Int
        var waiter: CheckedContinuation<Results, Never>?
    }

    private let state: Locked<State>

    init(count: Int) {
        state = Locked(State(results: Array(repeating: nil, count: count), missing: count))
    }

    func resolve(_ index: Int, _ result: Result<PublishOutcome, any Error>) {
        let completed: (CheckedContinuation<Results, Never>, Results)? = state.withLock { state in
            guard state.results[index] == nil else { return nil }
            state.results[index] = result
            state.missing -= 1
            guard state.missing == 0, let waiter = state.waiter else { return nil }
            state.waiter = nil
            return (waiter, state.results.compactMap(\.self))
        }
        if let (waiter, results) = completed { waiter.resume(returning: results) }
    }

    /// Waits for all outcomes, in the order of the events.
    func results() async -> Results {
        await withCheckedContinuation { continuation in
            let results: Results? = state.withLock { state in
                if state.missing == 0 { return state.results.compactMap(\.self) }
                state.waiter = continuation
                return nil
            }
            if let results { continuation.resume(returning: results) }
        }
    }
}
