internal import Logging

/// A running subscription. It consumes its queue in one session after another, pauses, and ends when it is told to stop.
final class SubscriptionRunner: Sendable {
    private enum Phase {
        case registered
        case attaching
        case attached
        case draining
        case paused
        case ended
    }

    private struct State {
        var phase: Phase = .registered
        var error: EventBusError?
        /// The queues of ended sessions whose handlers ignore their cancellation.
        var abandoned: [DeliveryQueue] = []
        var options: SubscriptionOptions
        var session: SubscriptionSession
        /// The suspended consumer of a broadcast, between two sessions.
        var kept: (any TransportConsumer)?
        /// A signal that is raised when the attachment of the session has succeeded or failed.
        var attachment = Signal()
        /// A Boolean value indicating whether the user has paused the subscription.
        var isPaused = false
        /// A signal that is raised when the pause ends.
        var resumption = Signal()

        /// A Boolean value indicating whether the user or the session has paused the subscription.
        var isHeldBack: Bool { isPaused || session.pause.isActive }

        /// A Boolean value indicating whether the session is to continue.
        var isSessionWanted: Bool { !isPaused && session.concurrency == options.concurrency }
    }

    let info: SubscriptionInfo
    private let patterns: [TopicPattern]
    private let handlers: HandlerTable
    private let middleware: [any ConsumeMiddleware]
    private let observers: [any DeliveryObserver]
    private let environment: SubscriptionEnvironment
    private let deferrals: DeferralStatus
    private let identifier: EventIdentifier?
    /// The record of failures, if the subscription has a circuit breaker.
    private let failures: FailureRate?
    /// The sink of a broadcast, whose consumer outlives the sessions.
    private let relay: SinkRelay?
    private let state: Locked<State>
    private let stopping = Signal()
    private let aborting = Signal()
    private let ended = Signal()

    init(
        info: SubscriptionInfo,
        handlers: SubscriptionHandlers,
        options: SubscriptionOptions,
        environment: SubscriptionEnvironment
    ) {
        self.info = info
        self.environment = environment
        self.patterns = handlers.patterns
        self.handlers = HandlerTable(handlers)
        self.deferrals = DeferralStatus(subscription: info, clock: environment.clock, logger: environment.logger)
        self.identifier = EventIdentifier(
            options.identity,
            codecs: handlers.codecs,
            payloads: environment.payloads,
            subscription: info,
            logger: environment.logger
        )
        self.failures = options.breaker.map(FailureRate.init)
        self.relay = options.broadcast ? SinkRelay() : nil
        var middleware = options.middleware
        if let inbox = options.inbox {
            middleware.append(DeduplicationMiddleware(inbox: inbox, options: options.inboxOptions))
        }
        for case let step as DeduplicationMiddleware in middleware { step.adopt(environment.clock) }
        self.middleware = middleware.filter(\.isActive).map { $0.prepared(for: info) }
        self.observers =
            self.middleware.compactMap { $0 as? any DeliveryObserver }
            + options.observers.filter(\.isActive).map { $0.prepared(for: info) }
        let session = SubscriptionSession(
            of: info,
            patterns: patterns,
            handlers: self.handlers,
            middleware: self.middleware,
            observers: observers,
            options: options,
            environment: environment,
            deferrals: deferrals,
            identifier: identifier,
            failures: failures,
            stopping: stopping,
            aborting: aborting
        )
        self.state = Locked(State(options: options, session: session))
    }

    // MARK: State

    /// The error of a failed subscription.
    var error: EventBusError? { state.withLock { $0.error } }

    /// The number of running handlers of sessions that have ended without them.
    var abandoned: Int { state.withLock { $0.abandoned }.reduce(0) { $0 + $1.counts.running } }

    /// The specification of the queue.
    var specification: QueueSpecification { state.withLock { $0.session.specification } }

    var isEnded: Bool { ended.isRaised }

    var isPaused: Bool { state.withLock { $0.isPaused } }

    /// A Boolean value indicating whether the queue is not attached yet, but may still be.
    var isAttaching: Bool {
        state.withLock { ($0.phase == .registered || $0.phase == .attaching) && $0.error == nil }
    }

    /// A Boolean value indicating whether the subscription has ended regularly, and not because it failed.
    var isDone: Bool { isEnded && (error.map { $0.code == .shuttingDown } ?? true) }

    /// A Boolean value indicating whether the current task is one of the subscription's handlers.
    var isRunningCaller: Bool {
        guard let current = EventCorrelation.current, current.isHandlerRunning else { return false }
        return current.handler == ObjectIdentifier(state.withLock { $0.session.processor })
    }

    var health: ComponentHealth {
        let (phase, error, session, isPaused) = state.withLock { ($0.phase, $0.error, $0.session, $0.isPaused) }
        let counts = session.queue.counts
        let name = "subscription.\(info.queueName)"
        let (workers, deferrals) = (session.workers.counts, deferrals.summary)
        let details = [
            "waiting": counts.waiting, "running": counts.running, "held": counts.held, "deferred": deferrals.count,
            "overdue": workers.overdue, "paused": isPaused || session.pause.isActive ? 1 : 0,
        ]
        func component(_ status: ComponentHealth.Status, _ reason: String?) -> ComponentHealth {
            ComponentHealth(name: name, status: status, reason: reason, details: details)
        }
        if let error {
            // Another start would fail in the same way.
            return ComponentHealth(
                name: name,
                status: .failed,
                reason: "\(error)",
                details: details,
                restartHelps: false
            )
        }
        switch phase {
        case .attached:
            if let reason = impediment(session, workers, deferrals) { return component(.notReady, reason) }
            let remarks = [remark(onAbandoned: workers.overdue + abandoned), deferrals.remark].compactMap(\.self)
            return component(.ready, remarks.isEmpty ? nil : remarks.joined(separator: "; "))
        case .registered, .attaching: return component(.notReady, "not attached yet")
        case .draining where stopping.isRaised:
            return component(.notReady, "draining")
        case .draining:
            let next = "before it \(isPaused ? "pauses" : "goes on")"
            if let cause = overdueCause(workers.overdue) {
                return component(.notReady, "waits for its running handlers \(next), but \(cause)")
            }
            return component(.ready, "waits for its running handlers \(next)")
        // It does what it was told to.
        case .paused: return component(.ready, "paused by pause()")
        case .ended: return component(.notReady, "ended")
        }
    }

    /// Returns the reason why an attached subscription currently handles nothing, or `nil`.
    private func impediment(
        _ session: SubscriptionSession,
        _ workers: (all: Int, overdue: Int, waiting: Int),
        _ deferrals: (count: Int, outage: String?, remark: String?)
    ) -> String? {
        if workers.overdue > 0, workers.overdue + workers.waiting == workers.all {
            let others = workers.waiting == 0 ? "all" : "\(workers.waiting) events wait for a batch that cannot run:"
            return "\(others) \(workers.overdue) handlers have passed their time limit or lost their delivery, and "
                + "ignore their cancellation"
        }
        if session.queue.isPaused, let cause = overdueCause(workers.overdue) {
            return "waits for its running handlers before it returns old deliveries to the broker, but \(cause)"
        }
        if let pause = session.pause.current { return "paused, because \(pause.explanation)" }
        // They do not ask the inbox about other events, so nothing else would tell.
        if let error = session.workers.recordError {
            return "all \(workers.all) workers wait for the inbox to record what they have handled: \(error)"
        }
        return session.settler.refused.reason ?? deferrals.outage.map { "handlers cannot work: \($0)" }
    }

    /// Returns a remark about handlers that occupy workers for nothing.
    private func remark(onAbandoned count: Int) -> String? {
        overdueCause(count).map { "\($0), which takes up capacity" }
    }

    /// Returns a description of `count` handlers that were cancelled in vain, or `nil` if there are none.
    private func overdueCause(_ count: Int) -> String? {
        switch count {
        case 0: nil
        case 1: "1 handler ignores its cancellation"
        default: "\(count) handlers ignore their cancellation"
        }
    }

    /// Waits until deliveries arrive.
    ///
    /// - Throws: `.reentrant` in a handler for which the next session waits.
    func waitUntilAttached() async throws {
        let attachment = state.withLock { $0.attachment }
        if !attachment.isRaised, isRunningCaller {
            throw EventBusError(
                .reentrant,
                "a handler of \(info.queueName) waits until the subscription is attached again, which happens after the "
                    + "handler has returned: wait outside of the handler"
            )
        }
        try await attachment.wait()
        if let error { throw error }
    }

    func waitUntilEnded() async throws {
        try await ended.wait()
    }

    // MARK: Pausing

    /// Ends the current session after its handlers have returned, and begins no other one before ``resume()``.
    func pause() async {
        let (begins, session) = state.withLock { state -> (Bool, SubscriptionSession?) in
            guard state.phase != .ended, state.error == nil else { return (false, nil) }
            let begins = !state.isPaused
            if begins {
                state.isPaused = true
                state.resumption = Signal()
            }
            // A session that is being attached declares the queue first, so that it collects events.
            return (begins, state.phase == .attached || state.phase == .draining ? state.session : nil)
        }
        if begins { notePause("the subscription is paused by pause()") }
        await end(session)
    }

    /// Continues after ``pause()``.
    func resume() {
        let resumption = state.withLock { state -> Signal? in
            guard state.isPaused else { return nil }
            state.isPaused = false
            if state.phase != .registered, state.phase != .attaching, state.error == nil { state.attachment = Signal() }
            return state.resumption
        }
        guard let resumption else { return }
        resumption.raise()
        notePause("the subscription is resumed")
    }

    /// Changes the concurrency, and begins another session with it after the handlers of the current one have returned.
    func changeConcurrency(to concurrency: Int) async throws {
        let session = try state.withLock { state -> SubscriptionSession? in
            var options = state.options
            options.concurrency = concurrency
            // The purpose does not concern the concurrency.
            if let error = options.validationError(
                of: info.queueName,
                for: .events,
                consumerTimeout: environment.transport.consumerTimeout
            ) {
                throw error
            }
            state.options = options
            guard state.phase == .attached, state.session.concurrency != concurrency else { return nil }
            state.attachment = Signal()
            return state.session
        }
        await end(session)
    }

    /// Ends a session and waits until it has ended, unless the current task is one of its handlers.
    private func end(_ session: SubscriptionSession?) async {
        guard let session else { return }
        session.stopping.raise()
        if isRunningCaller { return }
        try? await session.ended.wait()
    }

    private func reportPause(_ isPaused: Bool) {
        for case let observer as any PauseObserver in observers { observer.didPause(isPaused) }
    }

    private func notePause(_ message: Logger.Message) {
        reportPause(state.withLock { $0.phase != .ended && $0.isHeldBack })
        environment.logger.logger.notice(
            message,
            metadata: [LogKeys.group: "\(info.group)", LogKeys.subscription: "\(info.name)"]
        )
    }

    // MARK: Life cycle

    /// Ends the subscription before it has started, with an error that the user has to know.
    func fail(_ error: EventBusError) {
        note(error)
        end()
    }

    /// Tells the subscription to drain: it gets no new deliveries, and running handlers may finish until the shutdown
    /// deadline.
    func stop() {
        let endsAtOnce = state.withLock { state in
            guard state.phase == .registered else { return false }
            state.phase = .ended
            state.error = EventBusError(
                .shuttingDown,
                "the subscription \(info.queueName) was cancelled before it began"
            )
            return true
        }
        // First, so that either this call sees the next session, or the next session sees the signal.
        stopping.raise()
        let (session, attachment) = state.withLock { ($0.session, $0.attachment) }
        session.stopping.raise()
        if endsAtOnce {
            attachment.raise()
            end()
        }
    }

    /// Tells the subscription to cancel its handlers and return their deliveries.
    func abort() {
        aborting.raise()
        stop()
    }

    /// Runs the subscription until it is stopped.
    func run() async {
        let begins = state.withLock { state in
            guard state.phase == .registered else { return false }
            state.phase = .attaching
            return true
        }
        guard begins else { return }
        defer { end() }
        var consumer: (any TransportConsumer)?
        defer { consumer?.keepsQueue(false) }
        reportHandlerLimit()
        repeat {
            let session = state.withLock { $0.session }
            let isAttached = await run(session, after: &consumer)
            // Before somebody is told who may look at the health.
            state.withLock { state in
                if state.phase == .draining, state.isPaused, !stopping.isRaised { state.phase = .paused }
            }
            session.ended.raise()
            guard isAttached else { return }
        } while await beginNextSession()
        let (session, kept) = state.withLock { ($0.session, $0.kept.take()) }
        // In a separate task, because the caller may have been cancelled.
        if let kept { await Task { await session.close(kept) }.value }
    }

    /// Tells of a limit that the options do not set.
    private func reportHandlerLimit() {
        let limit = state.withLock { $0.session.processor.handlerLimit }
        guard case .broker(let age, _) = limit else { return }
        environment.logger.logger.info(
            "handlers without a time limit are cancelled before the broker delivers their events again",
            metadata: [
                LogKeys.group: "\(info.group)", LogKeys.subscription: "\(info.name)", LogKeys.limit: "\(age.brief)",
            ]
        )
    }

    /// Tells everybody that the subscription has ended. It counts as paused no more.
    private func end() {
        if state.withLock({ $0.isHeldBack }) { reportPause(false) }
        ended.raise()
    }

    /// Attaches a session, runs it until it has to end, and drains it.
    ///
    /// - Parameters:
    ///   - session: The session.
    ///   - latest: The consumer of the previous session, which the session replaces.
    /// - Returns: `false` if it could not be attached.
    private func run(_ session: SubscriptionSession, after latest: inout (any TransportConsumer)?) async -> Bool {
        let consumer: any TransportConsumer
        let start = environment.clock.now
        do {
            let kept = state.withLock { $0.kept.take() }
            guard let attached = try await session.attach(through: relay, continuing: kept) else {
                note(EventBusError(.shuttingDown, "\(info.queueName) was cancelled before it was attached"))
                return false
            }
            consumer = attached
        } catch {
            let reason = error as? EventBusError
            note(reason ?? EventBusError(.unavailable, "\(info.queueName) could not be attached", underlying: error))
            return false
        }
        latest?.keepsQueue(false)
        latest = consumer
        let (isWanted, attachment) = state.withLock { state in
            state.phase = .attached
            return (state.isSessionWanted, state.attachment)
        }
        if isWanted { session.start(consumer) } else { session.stopping.raise() }
        environment.logger.logger.info(
            "subscription attached",
            metadata: [
                LogKeys.group: "\(info.group)", LogKeys.subscription: "\(info.name)",
                LogKeys.duration: "\(start.duration(to: environment.clock.now).brief)",
            ]
        )
        attachment.raise()
        await session.keepConsuming(consumer)
        // If it is cancelled without having been told to stop, nobody waits for the handlers to finish.
        if !session.stopping.isRaised { abort() }
        // Until the next session nobody consumes the queue.
        if !stopping.isRaised { consumer.keepsQueue(true) }
        state.withLock { $0.phase = .draining }
        // In a separate task, because the caller's cancellation must not shorten the time that handlers have to end.
        let isKept = await Task { await session.drain(consumer) }.value
        state.withLock { state in
            if isKept { state.kept = consumer }
            state.abandoned = (state.abandoned + [session.queue]).filter { $0.counts.running > 0 }
        }
        return true
    }

    /// Waits until the subscription is not paused, and makes another session.
    ///
    /// - Returns: `false` if the subscription has ended instead.
    private func beginNextSession() async -> Bool {
        while true {
            if Task.isCancelled { abort() }
            let (phase, resumption, attachment) = state.withLock { state in
                state.phase = stopping.isRaised ? .ended : state.isPaused ? .paused : .attaching
                if state.phase == .attaching {
                    let known = state.session.queue.takeKnown()
                    state.session = SubscriptionSession(
                        of: info,
                        patterns: patterns,
                        handlers: handlers,
                        middleware: middleware,
                        observers: observers,
                        options: state.options,
                        environment: environment,
                        deferrals: deferrals,
                        identifier: identifier,
                        failures: failures,
                        continuing: state.session.pause.current,
                        stopping: stopping,
                        aborting: aborting
                    )
                    state.session.queue.inherit(known)
                }
                return (state.phase, state.resumption, state.attachment)
            }
            if phase == .attaching {
                // The pause of the previous session continues, or has ended with it.
                reportPause(state.withLock { $0.isHeldBack })
                return true
            }
            if phase == .ended {
                // Somebody may be waiting for the session that was to follow.
                if !attachment.isRaised { note(EventBusError(.shuttingDown, "\(info.queueName) was cancelled")) }
                return false
            }
            try? await first { [stopping] in
                try await stopping.wait()
            } or: {
                try await resumption.wait()
            }
        }
    }

    /// Stores the error that ended the subscription, and logs it immediately because nobody may be waiting for the
    /// attachment.
    private func note(_ error: EventBusError) {
        let attachment = state.withLock { state in
            state.error = error
            state.phase = .ended
            return state.attachment
        }
        defer { attachment.raise() }
        if error.code == .shuttingDown { return }
        environment.logger.logger.info(
            "subscription failed",
            metadata: [
                LogKeys.group: "\(info.group)", LogKeys.subscription: "\(info.name)",
                LogKeys.error: "\(String(loggable: error))",
            ]
        )
    }
}
