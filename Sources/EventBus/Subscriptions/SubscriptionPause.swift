internal import Synchronization

/// The pause of a subscription whose inbox is unusable. Nothing starts, except that one delivery at a time asks the
/// inbox, with backoff.
///
/// The queue's gate changes only under the lock of this object, so it is open whenever there is no pause.
final class SubscriptionPause: Sendable {
    /// A pause that is in progress, or has just ended.
    struct Pause: Sendable {
        let since: AnyClock.Instant
        var reason: String
        var failedProbes = 0
        /// The time at which the next delivery may ask.
        var nextProbe: AnyClock.Instant
    }

    private struct State {
        var pause: Pause?
        var timer: Task<Void, Never>?
        /// A Boolean value indicating whether the subscription stops, so that there is no further probe.
        var isCancelled = false
    }

    private static let backoff = RetryPolicy(initial: .milliseconds(200), maximum: .seconds(5), jitter: false)

    private let queue: DeliveryQueue
    private let clock: AnyClock
    private let state = Locked(State())
    private let active = Atomic(false)

    init(queue: DeliveryQueue, clock: AnyClock) {
        self.queue = queue
        self.clock = clock
    }

    /// A Boolean value indicating whether the subscription is paused.
    var isActive: Bool { active.load(ordering: .acquiring) }

    /// The current pause.
    var current: Pause? { state.withLock { $0.pause } }

    /// Begins a pause, or postpones the next probe, because the inbox could not be reached.
    ///
    /// - Parameter isProbe: `true` if the delivery that asked was the pause's probe. Others asked before the pause
    ///   began.
    /// - Returns: Whether the pause begins with this call, and the time at which the next delivery may ask.
    func fail(_ error: any Error, isProbe: Bool) -> (begins: Bool, nextProbe: AnyClock.Instant) {
        let now = clock.now
        let (begins, schedules, nextProbe) = state.withLock { state in
            if var pause = state.pause {
                guard isProbe else { return (false, false, pause.nextProbe) }
                pause.reason = "\(error)"
                pause.failedProbes += 1
                pause.nextProbe = now.advanced(by: Self.backoff.bound(afterAttempt: pause.failedProbes + 1))
                state.pause = pause
                return (false, true, pause.nextProbe)
            }
            let nextProbe = now.advanced(by: Self.backoff.bound(afterAttempt: 1))
            state.pause = Pause(since: now, reason: "\(error)", nextProbe: nextProbe)
            active.store(true, ordering: .releasing)
            queue.closeGate()
            return (true, true, nextProbe)
        }
        if schedules { schedule(at: nextProbe) }
        return (begins, nextProbe)
    }

    private func schedule(at instant: AnyClock.Instant) {
        // Detached, because the task must not carry the context of an event.
        let timer = Task.detached { [clock, weak self] in
            guard (try? await clock.sleep(until: instant)) != nil else { return }
            self?.beginProbe()
        }
        let obsolete = state.withLock { state in
            // The pause may have ended, or the subscription stopped, since the probe was decided.
            guard state.pause != nil, !state.isCancelled else { return Optional(timer) }
            defer { state.timer = timer }
            return state.timer
        }
        obsolete?.cancel()
    }

    /// Lets one delivery ask the inbox.
    private func beginProbe() {
        let (isPaused, reopening) = state.withLock { state in
            state.pause == nil ? (false, nil) : (true, queue.openGateForProbe())
        }
        guard isPaused else { return }
        reopening?.raise()
        queue.wakeWorkers()
    }

    /// Lets another delivery ask, because the chosen one ended without having asked.
    func endProbe() {
        if isActive { beginProbe() }
    }

    /// Ends the pause, because the inbox has answered.
    ///
    /// - Returns: The pause, if there was one.
    func end() -> Pause? {
        let now = clock.now
        let (pause, timer) = state.withLock { state in
            defer {
                state.pause = nil
                state.timer = nil
            }
            active.store(false, ordering: .releasing)
            if let pause = state.pause { queue.openGate(after: pause.since.duration(to: now)) }
            return (state.pause, state.timer)
        }
        timer?.cancel()
        if pause != nil { queue.wakeWorkers() }
        return pause
    }

    /// Ends the wait for the next probe, because the subscription stops.
    func cancel() {
        let timer = state.withLock { state in
            state.isCancelled = true
            return state.timer
        }
        timer?.cancel()
    }
}
