import DequeModule
import EventBus

/// Steps that undo something nobody waits for any longer: each is repeated until the server has answered it, or until
/// what it undoes would have ended by itself.
///
/// A caller may not be kept waiting by a server that says nothing, and what it leaves behind there may not be forgotten
/// either. Steps go out on the connection of the commands they undo, behind them.
final class RedisCleanup: Sendable {
    struct Step: Sendable {
        let script: RedisScript
        let keys: [String]
        let arguments: [RedisArgument]
        /// For how long it is worth repeating.
        let limit: Duration
    }

    /// So many are carried out at a time; further ones wait for their turn.
    static let capacity = 1000
    /// So many wait at most; further ones are sent once.
    static let maximumWaiting = 100_000

    private struct Entry: Sendable {
        let step: Step
        let deadline: ContinuousClock.Instant
        let done = Signal()
    }

    private struct State {
        var underway = 0
        var waiting = Deque<Entry>()
    }

    private let client: RedisClient
    private let state = Locked(State())

    init(_ client: RedisClient) {
        self.client = client
    }

    /// How many steps were not answered yet.
    var count: Int { state.withLock { $0.underway + $0.waiting.count } }

    /// Carries a step out, and returns when that is done or `grace` is over: then it goes on by itself.
    ///
    /// The cancellation of the calling task changes nothing.
    func run(_ step: Step, grace: Duration) async {
        guard let done = start(step) else { return }
        let clock = AnyClock.continuous
        let deadline = clock.now.advanced(by: grace)
        _ = try? await withoutCancellation { try await withDeadline(deadline, clock: clock) { try await done.wait() } }
    }

    /// Carries a step out without anyone waiting; the signal tells when that is done.
    @discardableResult
    func start(_ step: Step) -> Signal? {
        let entry = Entry(step: step, deadline: .now.advanced(by: step.limit))
        let (isFirst, isKept) = state.withLock { state in
            if state.underway < Self.capacity {
                state.underway += 1
                return (true, true)
            }
            guard state.waiting.count < Self.maximumWaiting else { return (false, false) }
            state.waiting.append(entry)
            return (false, true)
        }
        if isFirst {
            // Runs here up to the command's way to the connection, so that it is sent before whatever the caller does
            // next.
            Task.immediate { await self.carryOut(entry) }
        } else if !isKept {
            client.post(step.script, keys: step.keys, step.arguments)
        }
        return isKept ? entry.done : nil
    }

    /// Carries out a step, and then those that wait for their turn.
    private func carryOut(_ first: Entry) async {
        var entry = first
        while true {
            await repeatUntilAnswered(entry)
            entry.done.raise()
            let next = state.withLock { state in
                let next = state.waiting.popFirst()
                if next == nil { state.underway -= 1 }
                return next
            }
            guard let next else { return }
            entry = next
        }
    }

    /// A refusal is no answer: a server that is full, that takes no more clients or whose rules have changed may do it
    /// later.
    private func repeatUntilAnswered(_ entry: Entry) async {
        let step = entry.step
        var backoff = Backoff(
            initial: client.configuration.reconnectDelay,
            maximum: client.configuration.maximumReconnectDelay
        )
        var generator = SystemRandomNumberGenerator()
        while true {
            do {
                _ = try await client.run(step.script, keys: step.keys, step.arguments, isIdempotent: true)
                return
            } catch let error as EventBusError where error.code != .shuttingDown {
                let pause = backoff.pause(using: &generator)
                backoff.noteFailure()
                guard ContinuousClock.now.advanced(by: pause) < entry.deadline else { return }
                try? await Task.sleep(for: pause)
            } catch {
                return
            }
        }
    }
}
