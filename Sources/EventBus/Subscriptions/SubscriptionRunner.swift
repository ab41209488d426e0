internal import Logging

/// A running subscription. It attaches to its queue, runs its workers, and drains when it is told to stop.
final class SubscriptionRunner: Sendable {
    private enum Phase {
        case registered
        case attaching
        case attached
        case draining
        case ended
    }

    private struct State {
        var phase: Phase = .registered
        var error: EventBusError?
        /// The number of handlers that did not end in time at the shutdown.
        var abandoned = 0
    }

    let info: SubscriptionInfo
    let specification: QueueSpecification
    private let environment: SubscriptionEnvironment
    private let processor: DeliveryProcessor
    private let workers: WorkerPool
    private let settler: DeliverySettler
    private let queue: DeliveryQueue
    private let concurrency: Int
    private let pause: SubscriptionPause
    private let deferrals: DeferralStatus

    private let state = Locked(State())
    /// A signal that is raised when the attachment has succeeded or failed.
    private let attachment = Signal()
    private let stopping: Signal
    private let aborting: Signal
    private let ended = Signal()

    init(
        info: SubscriptionInfo,
        handlers: SubscriptionHandlers,
        options: SubscriptionOptions,
        environment: SubscriptionEnvironment
    ) {
        self.info = info
        self.environment = environment
        self.stopping = Signal()
        self.aborting = Signal()
        var specification = QueueSpecification(
            group: info.group,
            name: info.name,
            patterns: handlers.patterns,
            formerPatterns: options.formerPatterns,
            prefetch: options.effectivePrefetch,
            singleActiveConsumer: options.ordering == .byPartitionKey && !options.broadcast,
            broadcast: options.broadcast
        )
        specification.ordersByKey = options.ordering == .byPartitionKey
        self.specification = specification
        let queueOptions = options.queueOptions
        self.concurrency = queueOptions.workers
        self.queue = DeliveryQueue(queueOptions, clock: environment.clock)
        self.pause = SubscriptionPause(queue: queue, clock: environment.clock)
        self.deferrals = DeferralStatus(subscription: info, clock: environment.clock, logger: environment.logger)
        var middleware = options.middleware
        if let inbox = options.inbox {
            middleware.append(DeduplicationMiddleware(inbox: inbox, options: options.inboxOptions))
        }
        self.processor = DeliveryProcessor(
            subscription: info,
            handlers: HandlerTable(handlers),
            middleware: middleware.filter(\.isActive).map { $0.prepared(for: info) },
            retry: options.retry,
            retryVerdict: options.retryVerdict,
            handlerTimeout: options.handlerTimeout,
            derivesEventIDs: options.derivesEventIDs && !options.broadcast,
            holdsPublishes: options.publishing == .whenHandled,
            maximumDeferral: options.maximumDeferral,
            pause: pause,
            maximumHold: options.holdsRetries ? options.maximumHold : nil,
            environment: environment,
            aborting: aborting
        )
        self.settler = DeliverySettler(
            subscription: info,
            middleware: processor.middleware,
            keepsOrder: specification.singleActiveConsumer,
            queue: queue,
            stopping: stopping,
            environment: environment
        )
        self.workers = WorkerPool(
            subscription: info,
            isBroadcast: options.broadcast,
            environment: environment,
            processor: processor,
            queue: queue,
            pause: pause,
            deferrals: deferrals,
            settler: settler
        )
    }

    // MARK: State

    /// The error of a failed subscription.
    var error: EventBusError? { state.withLock { $0.error } }

    /// The number of handlers that did not end in time when the subscription stopped.
    var abandoned: Int { state.withLock { $0.abandoned } }

    var isEnded: Bool { ended.isRaised }

    /// A Boolean value indicating whether the queue is not attached yet, but may still be.
    var isAttaching: Bool {
        state.withLock { ($0.phase == .registered || $0.phase == .attaching) && $0.error == nil }
    }

    /// A Boolean value indicating whether the subscription has ended regularly, and not because it failed.
    var isDone: Bool { isEnded && (error.map { $0.code == .shuttingDown } ?? true) }

    /// A Boolean value indicating whether the current task is one of the subscription's handlers.
    var isRunningCaller: Bool {
        guard let current = EventCorrelation.current else { return false }
        return current.handler == ObjectIdentifier(processor) && current.isHandlerRunning
    }

    var health: ComponentHealth {
        let (phase, error) = state.withLock { ($0.phase, $0.error) }
        let counts = queue.counts
        let name = "subscription.\(info.queueName)"
        let (workers, deferrals) = (workers.counts, deferrals.summary)
        let details = [
            "waiting": counts.waiting, "running": counts.running, "held": counts.held, "deferred": deferrals.count,
            "overdue": workers.overdue,
        ]
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
            if let reason = impediment(workers, deferrals) {
                return ComponentHealth(name: name, status: .notReady, reason: reason, details: details)
            }
            return ComponentHealth(name: name, status: .ready, reason: deferrals.remark, details: details)
        case .registered, .attaching:
            return ComponentHealth(name: name, status: .notReady, reason: "not attached yet", details: details)
        case .draining: return ComponentHealth(name: name, status: .notReady, reason: "draining", details: details)
        case .ended: return ComponentHealth(name: name, status: .notReady, reason: "ended", details: details)
        }
    }

    /// Returns the reason why an attached subscription currently handles nothing, or `nil`.
    private func impediment(
        _ workers: (all: Int, overdue: Int),
        _ deferrals: (count: Int, outage: String?, remark: String?)
    ) -> String? {
        if workers.overdue > 0, workers.overdue == workers.all {
            return "all \(workers.all) handlers have passed their time limit and ignore their cancellation"
        }
        if let pause = pause.current { return "paused, because its inbox cannot be used: \(pause.reason)" }
        return settler.refused.reason ?? deferrals.outage.map { "handlers cannot work: \($0)" }
    }

    /// Waits until deliveries arrive.
    func waitUntilAttached() async throws {
        try await attachment.wait()
        if let error { throw error }
    }

    func waitUntilEnded() async throws {
        try await ended.wait()
    }

    // MARK: Life cycle

    /// Ends the subscription before it has started, with an error that the user has to know.
    func fail(_ error: EventBusError) {
        note(error)
        attachment.raise()
        ended.raise()
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
        stopping.raise()
        if endsAtOnce {
            attachment.raise()
            ended.raise()
        }
    }

    /// Tells the subscription to cancel its handlers and return their deliveries.
    func abort() {
        aborting.raise()
        stop()
    }

    /// Attaches the subscription, runs it until it is stopped, and drains it.
    func run() async {
        let begins = state.withLock { state in
            guard state.phase == .registered else { return false }
            state.phase = .attaching
            return true
        }
        guard begins else { return }
        defer { ended.raise() }
        let consumer: any TransportConsumer
        do {
            guard let attached = try await attach() else {
                end(with: EventBusError(.shuttingDown, "\(info.queueName) was cancelled before it was attached"))
                return
            }
            consumer = attached
        } catch {
            let reason = error as? EventBusError
            end(
                with: reason
                    ?? EventBusError(.unavailable, "\(info.queueName) could not be attached", underlying: error)
            )
            return
        }
        state.withLock { $0.phase = .attached }
        workers.start(concurrency, for: consumer)
        attachment.raise()
        await keepConsuming(consumer)
        // If it is cancelled without having been told to stop, nobody waits for the handlers to finish.
        if !stopping.isRaised { abort() }
        state.withLock { $0.phase = .draining }
        // In a separate task, because the caller's cancellation must not shorten the time that handlers have to end.
        await Task { await self.drain(consumer) }.value
        state.withLock { $0.phase = .ended }
    }

    private func end(with error: EventBusError) {
        note(error)
        attachment.raise()
    }

    /// Stores the error that ended the subscription, and logs it immediately because nobody may be waiting for the
    /// attachment.
    private func note(_ error: EventBusError) {
        state.withLock { state in
            state.error = error
            state.phase = .ended
        }
        if error.code == .shuttingDown { return }
        environment.logger.logger.info(
            "a subscription failed and does not work",
            metadata: [
                LogKeys.group: "\(info.group)", LogKeys.subscription: "\(info.name)", LogKeys.error: "\(error)",
            ]
        )
    }

    /// Attaches to the queue, and returns the consumer. Returns `nil` if the subscription is stopped first.
    private func attach() async throws -> (any TransportConsumer)? {
        let (transport, specification, queue, stopping) = (environment.transport, specification, queue, stopping)
        return try await withThrowingTaskGroup(of: (any TransportConsumer)?.self) { group in
            group.addTask { try await transport.attach(specification, to: queue) }
            group.addTask {
                try await stopping.wait()
                return nil
            }
            defer { group.cancelAll() }
            if let consumer = try await group.next() ?? nil { return consumer }
            group.cancelAll()
            // It may have been attached at the very moment it was stopped.
            if let late = try? await group.next() ?? nil {
                await self.wait(until: self.graceEnd) { await late.close() }
            }
            return nil
        }
    }

    /// Reopens the channel whenever a delivery has waited too long, until the subscription stops.
    private func keepConsuming(_ consumer: any TransportConsumer) async {
        while !stopping.isRaised {
            let (reopening, stopping) = (queue.reopening, stopping)
            do {
                try await first {
                    try await stopping.wait()
                } or: {
                    try await reopening.wait()
                }
                guard !stopping.isRaised else { return }
                // Nothing starts any more. Running handlers finish and are settled.
                if let idle = queue.quiescence() {
                    try await first {
                        try await stopping.wait()
                    } or: {
                        try await idle.wait()
                    }
                }
            } catch {
                return
            }
            guard !stopping.isRaised else { return }
            environment.logger.logger.info(
                "deliveries wait for long: they are given back to the broker in order, and come again",
                metadata: [LogKeys.group: "\(info.group)", LogKeys.subscription: "\(info.name)"]
            )
            queue.prepareReopening()
            await wait(until: graceEnd) { await consumer.reopen() }
            queue.resume()
        }
    }

    private func drain(_ consumer: any TransportConsumer) async {
        pause.cancel()
        let deadline = environment.clock.now.advanced(by: environment.shutdownTimeout)
        if settler.keepsOrder {
            // No `stop()`, and no delivery is returned alone, because the next consumer would then start with later
            // events. The close returns everything in one step, after the handlers have ended.
            let left = queue.close()
            await awaitHandlers(until: deadline)
            await wait(until: max(deadline, graceEnd)) { await consumer.close() }
            for tracked in left {
                settler.report(tracked.delivery, .handedBack, attempt: tracked.attempt, isHeld: false)
            }
        } else {
            await wait(until: deadline) { await consumer.stop() }
            let (left, settler) = (queue.close(), settler)
            if !left.isEmpty {
                await wait(until: max(deadline, graceEnd)) { await settler.giveBack(left, consumer: consumer) }
            }
            await awaitHandlers(until: deadline)
            await wait(until: max(deadline, graceEnd)) { await consumer.close() }
        }
    }

    /// Waits until no handler is running and everything handled is settled. At the deadline, or when the subscription
    /// is aborted, it cancels the handlers and waits for as long as they have to end.
    private func awaitHandlers(until deadline: AnyClock.Instant) async {
        let (queue, aborting, clock) = (queue, aborting, environment.clock)
        let isDrained = try? await withDeadline(deadline, clock: clock) {
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    try await queue.waitUntilDrained()
                    return true
                }
                group.addTask {
                    try await aborting.wait()
                    return false
                }
                defer { group.cancelAll() }
                return try await group.next() ?? false
            }
        }
        guard isDrained != true else { return }
        aborting.raise()
        workers.cancelAll()
        let isDrainedInGrace: Void? = try? await withDeadline(graceEnd, clock: clock) {
            try await queue.waitUntilDrained()
        }
        if isDrainedInGrace == nil {
            let running = queue.counts.running
            state.withLock { $0.abandoned = running }
        }
    }

    /// The time by which cancelled handlers have to end.
    private var graceEnd: AnyClock.Instant { environment.clock.now.advanced(by: environment.cancellationGrace) }

    /// Runs a step of the transport, which may wait for the broker. Proceeds without it at the deadline, or soon after
    /// the subscription is aborted.
    private func wait(until deadline: AnyClock.Instant, for step: @escaping @Sendable () async -> Void) async {
        let (clock, aborting, grace) = (environment.clock, aborting, environment.cancellationGrace)
        let done = Signal()
        // Not a child task, which would have to be awaited. It ends with the broker's answer, or with the transport.
        Task {
            await step()
            done.raise()
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await done.wait() }
            group.addTask { try? await clock.sleep(until: deadline) }
            group.addTask {
                guard (try? await aborting.wait()) != nil else { return }
                try? await clock.sleep(until: clock.now.advanced(by: grace))
            }
            await group.next()
            group.cancelAll()
        }
    }
}
