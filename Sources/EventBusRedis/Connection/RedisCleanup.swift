import DequeModule
import EventBus

/// A runner of cleanup steps that no caller waits for. Each is repeated until the server has answered it, or until its
/// subject would have expired anyway.
///
/// An unresponsive server must not delay a caller, and state that the caller leaves behind there must not be forgotten
/// either. Steps are sent on the connection of the commands that they undo, after these.
final class RedisCleanup: Sendable {
    struct Step: Sendable {
        let script: RedisScript
        let keys: [String]
        let arguments: [RedisArgument]
        /// The time for which repeating the step is useful.
        let limit: Duration
    }

    /// The maximum number of steps that run at once. Further ones wait for their turn.
    static let capacity = 1000
    /// The maximum number of waiting steps. Further ones are sent once.
    static let maximumWaiting = 100_000

    private struct Entry: Sendable {
        let step: Step
        let deadline: ContinuousClock.Instant
        let done = Signal()
    }

    private struct State {
        var underway = 0
        var waiting = Deque<Entry>()
        /// A signal that is raised when all steps are done, if somebody waits for that.
        var idle: Signal?
    }

    private let client: RedisClient
    private let state = Locked(State())

    init(_ client: RedisClient) {
        self.client = client
        client.add(self)
    }

    /// The number of steps that have not been answered.
    var count: Int { state.withLock { $0.underway + $0.waiting.count } }

    /// Waits until all steps are done.
    func settle() async throws {
        let idle = state.withLock { state -> Signal? in
            if state.underway == 0 { return nil }
            let idle = state.idle ?? Signal()
            state.idle = idle
            return idle
        }
        try await idle?.wait()
    }

    /// Runs a step. Returns when it is done or `grace` is over, in which case it continues in the background.
    ///
    /// The cancellation of the calling task has no effect.
    func run(_ step: Step, grace: Duration) async {
        guard let done = start(step) else { return }
        let clock = AnyClock.continuous
        let deadline = clock.now.advanced(by: grace)
        _ = try? await withoutCancellation { try await withDeadline(deadline, clock: clock) { try await done.wait() } }
    }

    /// Runs a step in the background. The returned signal is raised when it is done.
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
            // Runs synchronously until the command is queued on the connection, so that it is sent before the caller's
            // next command.
            Task.immediate { await self.carryOut(entry) }
        } else if !isKept {
            client.post(step.script, keys: step.keys, step.arguments)
        }
        return isKept ? entry.done : nil
    }

    /// Runs a step, and then the steps that wait for their turn.
    private func carryOut(_ first: Entry) async {
        var entry = first
        while true {
            await repeatUntilAnswered(entry)
            entry.done.raise()
            let (next, idle) = state.withLock { state -> (Entry?, Signal?) in
                if let next = state.waiting.popFirst() { return (next, nil) }
                state.underway -= 1
                guard state.underway == 0 else { return (nil, nil) }
                defer { state.idle = nil }
                return (nil, state.idle)
            }
            idle?.raise()
            guard let next else { return }
            entry = next
        }
    }

    /// Repeats a step until it is answered. A refusal does not count as an answer, because the server may accept the
    /// step later: it may be out of memory, at its limit of clients, or its permissions may have changed.
    private func repeatUntilAnswered(_ entry: Entry) async {
        let step = entry.step
        var backoff = Backoff(
            initial: client.configuration.reconnect.initial,
            maximum: client.configuration.reconnect.maximum
        )
        while true {
            do {
                _ = try await client.run(step.script, keys: step.keys, step.arguments, isIdempotent: true)
                return
            } catch let error as EventBusError where error.code != .shuttingDown {
                let pause = backoff.pause()
                backoff.noteFailure()
                guard ContinuousClock.now.advanced(by: pause) < entry.deadline else { return }
                try? await Task.sleep(for: pause)
            } catch {
                return
            }
        }
    }
}
