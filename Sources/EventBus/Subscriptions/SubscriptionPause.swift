internal import Synchronization

/// The pause of a subscription whose inbox is unusable, or whose circuit breaker is open. Nothing starts, except that one
/// delivery at a time probes the inbox or the handler.
///
/// The queue's gate changes only under the lock of this object, so it is open whenever there is no pause.
final class SubscriptionPause: Sendable {
    /// The cause of a pause, which determines what ends it.
    enum Cause: Sendable {
        /// The inbox cannot be reached. Its answer ends the pause.
        case inbox
        /// Too many attempts failed. The success of one that probes ends the pause.
        case failures
    }

    /// A pause that is in progress, or has just ended.
    struct Pause: Sendable {
        let cause: Cause
        let since: AnyClock.Instant
        var reason: String
        var failedProbes = 0
        /// The time at which the next delivery may probe.
        var nextProbe: AnyClock.Instant

        /// The reason for health reports.
        var explanation: String {
            switch cause {
            case .inbox: "its inbox cannot be used: \(reason)"
            case .failures: "its circuit breaker is open: \(reason)"
            }
        }
    }

    private struct State {
        var pause: Pause?
        var timer: Task<Void, Never>?
        /// A Boolean value indicating whether the session ends, so that there is no further probe.
        var isCancelled = false
    }

    private static let inboxBackoff = RetryPolicy(initial: .milliseconds(200), maximum: .seconds(5), usesJitter: false)

    private let queue: DeliveryQueue
    private let clock: AnyClock
    private let breaker: CircuitBreaker?
    private let observers: [any PauseObserver]
    private let state: Locked<State>
    private let active: Atomic<Bool>

    /// Creates the pauses of a session.
    ///
    /// - Parameter earlier: The pause of the subscription's previous session, which continues with ``begin()``.
    init(
        queue: DeliveryQueue,
        clock: AnyClock,
        breaker: CircuitBreaker? = nil,
        observers: [any PauseObserver] = [],
        continuing earlier: Pause? = nil
    ) {
        self.queue = queue
        self.clock = clock
        self.breaker = breaker
        self.observers = observers
        self.state = Locked(State(pause: earlier))
        self.active = Atomic(earlier != nil)
        if earlier != nil { queue.closeGate() }
    }

    /// A Boolean value indicating whether the subscription is paused.
    var isActive: Bool { active.load(ordering: .acquiring) }

    /// The current pause.
    var current: Pause? { state.withLock { $0.pause } }

    /// Continues the pause of the previous session, if there is one.
    ///
    /// - Returns: The time at which the next delivery may probe.
    func begin() -> AnyClock.Instant? {
        guard let pause = current else { return nil }
        schedule(at: pause.nextProbe)
        return pause.nextProbe
    }

    /// Begins a pause, or postpones the next probe.
    ///
    /// - Parameters:
    ///   - cause: The cause of a pause that begins. One that is in progress keeps its cause.
    ///   - reason: The reason for health reports.
    ///   - isProbe: `true` if the delivery was the pause's probe. Others started before the pause began.
    /// - Returns: Whether the pause begins with this call, and the time at which the next delivery may probe.
    func fail(_ cause: Cause, _ reason: String, isProbe: Bool) -> (begins: Bool, nextProbe: AnyClock.Instant) {
        let now = clock.now
        let (begins, reports, schedules, nextProbe) = state.withLock { state in
            if let pause = state.pause {
                guard isProbe else { return (false, false, false, pause.nextProbe) }
                let postponed = postponingProbe(pause, reason, at: now)
                state.pause = postponed
                return (false, false, true, postponed.nextProbe)
            }
            let nextProbe = now.advanced(by: interval(cause, failedProbes: 0))
            state.pause = Pause(cause: cause, since: now, reason: reason, nextProbe: nextProbe)
            active.store(true, ordering: .releasing)
            queue.closeGate()
            // A handler that was abandoned may fail after the end.
            return (true, !state.isCancelled, true, nextProbe)
        }
        if reports { for observer in observers { observer.didPause(true) } }
        if schedules { schedule(at: nextProbe) }
        return (begins, nextProbe)
    }

    /// Counts the probe as failed, because it does not end.
    ///
    /// - Returns: The time at which another delivery may probe, or `nil` if the pause has ended.
    func failProbe(_ reason: String) -> AnyClock.Instant? {
        let now = clock.now
        let nextProbe = state.withLock { state in
            state.pause.map { pause in
                let postponed = postponingProbe(pause, reason, at: now)
                state.pause = postponed
                return postponed.nextProbe
            }
        }
        if let nextProbe { schedule(at: nextProbe) }
        return nextProbe
    }

    private func postponingProbe(_ pause: Pause, _ reason: String, at now: AnyClock.Instant) -> Pause {
        var pause = pause
        pause.reason = reason
        pause.failedProbes += 1
        pause.nextProbe = now.advanced(by: interval(pause.cause, failedProbes: pause.failedProbes))
        return pause
    }

    /// Returns the time before the next probe.
    private func interval(_ cause: Cause, failedProbes: Int) -> Duration {
        switch cause {
        case .inbox: Self.inboxBackoff.bound(afterAttempt: failedProbes + 1)
        case .failures: breaker?.probeInterval ?? .zero
        }
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

    /// Lets one delivery probe.
    private func beginProbe() {
        let (isPaused, reopening) = state.withLock { state in
            state.pause == nil ? (false, nil) : (true, queue.openGateForProbe())
        }
        guard isPaused else { return }
        reopening?.raise()
        queue.wakeWorkers()
    }

    /// Lets another delivery probe, because the chosen one ended without an answer.
    func endProbe() {
        if isActive { beginProbe() }
    }

    /// Ends a pause of this cause, because the inbox has answered or the handler has succeeded.
    ///
    /// - Returns: The pause, if there was one.
    func end(_ cause: Cause) -> Pause? {
        let now = clock.now
        let (pause, timer, isCancelled) = state.withLock { state -> (Pause?, Task<Void, Never>?, Bool) in
            guard let pause = state.pause, pause.cause == cause else { return (nil, nil, false) }
            defer {
                state.pause = nil
                state.timer = nil
            }
            active.store(false, ordering: .releasing)
            queue.openGate(afterPauseSince: pause.since, at: now)
            return (pause, state.timer, state.isCancelled)
        }
        timer?.cancel()
        guard pause != nil else { return nil }
        queue.wakeWorkers()
        // The subscription may be paused by its user, and reports its state when the session has ended.
        if isCancelled { return pause }
        for observer in observers { observer.didPause(false) }
        return pause
    }

    /// Ends the wait for the next probe, because the session ends.
    func cancel() {
        let timer = state.withLock { state in
            state.isCancelled = true
            return state.timer
        }
        timer?.cancel()
    }
}
