internal import Logging

/// A period in which a subscription consumes its queue, from the attachment until everything unsettled has been
/// returned.
///
/// A subscription that was paused, or whose concurrency has changed, continues with another session.
final class SubscriptionSession: Sendable {
    let processor: DeliveryProcessor
    let workers: WorkerPool
    let settler: DeliverySettler
    let queue: DeliveryQueue
    let pause: SubscriptionPause
    let concurrency: Int
    let specification: QueueSpecification
    /// A signal that is raised when the session has to end.
    let stopping = Signal()
    /// A signal that is raised when the session has ended.
    let ended = Signal()

    private let info: SubscriptionInfo
    private let environment: SubscriptionEnvironment
    /// The signals that are raised when the subscription stops, and when its handlers are cancelled.
    private let subscription: (stopping: Signal, aborting: Signal)

    /// Creates a session.
    ///
    /// - Parameters:
    ///   - middleware: The prepared middleware of the subscription, including the inbox.
    ///   - observers: The prepared observers of the subscription, including middleware that observes.
    ///   - identifier: The source of the events' ids, if the subscription derives them.
    ///   - failures: The record of failures, if the subscription has a circuit breaker.
    ///   - pause: The pause of the previous session, which continues.
    ///   - stopping: The signal that is raised when the subscription stops.
    ///   - aborting: The signal that is raised when the subscription's handlers are cancelled.
    init(
        of info: SubscriptionInfo,
        patterns: [TopicPattern],
        handlers: HandlerTable,
        middleware: [any ConsumeMiddleware],
        observers: [any DeliveryObserver],
        options: SubscriptionOptions,
        environment: SubscriptionEnvironment,
        deferrals: DeferralStatus,
        identifier: EventIdentifier?,
        failures: FailureRate?,
        continuing pause: SubscriptionPause.Pause? = nil,
        stopping: Signal,
        aborting: Signal
    ) {
        self.info = info
        self.environment = environment
        self.subscription = (stopping, aborting)
        var specification = QueueSpecification(
            group: info.group,
            name: info.name,
            patterns: patterns,
            formerPatterns: options.formerPatterns,
            prefetch: options.effectivePrefetch,
            singleActiveConsumer: options.ordering == .byPartitionKey && !options.broadcast,
            broadcast: options.broadcast
        )
        specification.ordersByKey = options.ordering == .byPartitionKey
        self.specification = specification
        var queueOptions = options.queueOptions
        queueOptions.cancellationGrace = environment.cancellationGrace
        self.concurrency = queueOptions.workers
        self.queue = DeliveryQueue(queueOptions, clock: environment.clock)
        self.pause = SubscriptionPause(
            queue: queue,
            clock: environment.clock,
            breaker: options.breaker,
            observers: observers.compactMap { $0 as? any PauseObserver },
            continuing: pause
        )
        self.processor = DeliveryProcessor(
            subscription: info,
            handlers: handlers,
            middleware: middleware,
            observers: observers,
            retry: options.retry,
            retryVerdict: options.retryVerdict,
            handlerLimit: HandlerLimit(
                own: options.ownHandlerTimeout,
                consumerTimeout: environment.transport.consumerTimeout
            ),
            derivesEventIDs: options.derivesEventIDs && !options.broadcast,
            holdsPublishes: options.publishing == .whenHandled,
            maximumDeferral: options.maximumDeferral,
            pause: self.pause,
            maximumHold: options.holdsRetries ? options.maximumHold : nil,
            environment: environment,
            stopping: self.stopping,
            aborting: aborting
        )
        self.settler = DeliverySettler(
            subscription: info,
            observers: observers,
            keepsOrder: specification.singleActiveConsumer,
            queue: queue,
            stopping: self.stopping,
            environment: environment
        )
        self.workers = WorkerPool(
            subscription: info,
            isBroadcast: options.broadcast,
            environment: environment,
            processor: processor,
            queue: queue,
            pause: self.pause,
            deferrals: deferrals,
            settler: settler,
            identifier: identifier,
            failures: failures
        )
    }

    /// Attaches to the queue, and returns the consumer. Returns `nil` if the subscription is stopped first.
    ///
    /// - Parameters:
    ///   - relay: The sink of the consumer, if the consumer may outlive the session.
    ///   - kept: The suspended consumer of the previous session, which this one continues.
    func attach(
        through relay: SinkRelay?,
        continuing kept: (any TransportConsumer)?
    ) async throws -> (any TransportConsumer)? {
        let (transport, specification, stopping) = (environment.transport, specification, subscription.stopping)
        relay?.connect(to: queue)
        let sink: any DeliverySink = relay ?? queue
        return try await withThrowingTaskGroup(of: (any TransportConsumer)?.self) { group in
            group.addTask {
                guard let kept else { return try await transport.attach(specification, to: sink) }
                await kept.resume(prefetch: specification.prefetch)
                return kept
            }
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

    /// Starts to handle the deliveries of `consumer`.
    func start(_ consumer: any TransportConsumer) {
        if let nextProbe = pause.begin() { consumer.pauses(until: nextProbe) }
        workers.start(concurrency, for: consumer)
    }

    /// Reopens the channel whenever a delivery has waited too long, until the session stops.
    func keepConsuming(_ consumer: any TransportConsumer) async {
        while !stopping.isRaised {
            let (reopening, stopping) = (queue.reopening, stopping)
            do {
                try await first {
                    try await stopping.wait()
                } or: {
                    try await reopening.wait()
                }
                guard !stopping.isRaised else { return }
                // Nothing starts any more. Running handlers finish and are settled, unless they ignore their cancellation.
                if let idle = queue.inactivity() {
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
                "returned deliveries to the broker, in order, because they waited too long",
                metadata: [LogKeys.group: "\(info.group)", LogKeys.subscription: "\(info.name)"]
            )
            let revocation = queue.prepareReopening()
            let reopened = Signal()
            // Not a child task, which would have to be awaited.
            Task {
                await consumer.reopen()
                reopened.raise()
            }
            // Until the deliveries are gone, nothing may start, because another consumer may already have the events. If
            // their connection is lost, the broker redelivers them, whatever becomes of the call.
            await withTaskGroup(of: Void.self) { group in
                for end in [stopping, reopened, revocation] { group.addTask { try? await end.wait() } }
                await group.next()
                group.cancelAll()
            }
            guard !stopping.isRaised, !Task.isCancelled else { return }
            queue.resume()
        }
    }

    /// Returns what no handler has started, waits for the running handlers, and closes the consumer.
    ///
    /// The handlers have time until the shutdown deadline. If the subscription does not stop, but pauses, they have any
    /// time. Handlers that ignore their cancellation are not waited for.
    ///
    /// - Returns: `true` if the consumer is only suspended, because the subscription is a broadcast that goes on. Its
    ///   queue would end with the consumer.
    func drain(_ consumer: any TransportConsumer) async -> Bool {
        pause.cancel()
        let deadline = environment.clock.now.advanced(by: environment.shutdownTimeout)
        let isKept = specification.broadcast && !subscription.stopping.isRaised
        if settler.keepsOrder || isKept {
            // No `stop()`, and no delivery is returned alone, because the next consumer would then start with later
            // events. The close returns everything in one step, after the handlers have ended.
            let left = queue.close()
            await awaitHandlers(until: deadline)
            let isStillKept = isKept && !subscription.stopping.isRaised
            await wait(until: max(deadline, graceEnd)) {
                if isStillKept { await consumer.suspend() } else { await consumer.close() }
            }
            for tracked in left {
                settler.report(tracked.delivery, .requeued, attempt: tracked.attempt, isHeld: false)
            }
            return isStillKept
        } else {
            await wait(until: deadline) { await consumer.stop() }
            let (left, settler) = (queue.close(), settler)
            if !left.isEmpty {
                await wait(until: max(deadline, graceEnd)) { await settler.giveBack(left, consumer: consumer) }
            }
            await awaitHandlers(until: deadline)
            await wait(until: max(deadline, graceEnd)) { await consumer.close() }
            return false
        }
    }

    /// Closes the suspended consumer of a subscription that goes on no more.
    func close(_ consumer: any TransportConsumer) async {
        await wait(until: max(environment.clock.now.advanced(by: environment.shutdownTimeout), graceEnd)) {
            await consumer.close()
        }
    }

    /// Waits until no handler is running and everything handled is settled. At the deadline, or when the subscription
    /// is aborted, it cancels the handlers and waits for as long as they have to end.
    private func awaitHandlers(until deadline: AnyClock.Instant) async {
        let (queue, subscription, clock) = (queue, subscription, environment.clock)
        var deadline = deadline
        if !subscription.stopping.isRaised {
            try? await first {
                try await queue.waitUntilDrained()
            } or: {
                try await subscription.stopping.wait()
            }
            deadline = clock.now.advanced(by: environment.shutdownTimeout)
        }
        let isDrained = try? await withDeadline(deadline, clock: clock) {
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    try await queue.waitUntilDrained()
                    return true
                }
                group.addTask {
                    try await subscription.aborting.wait()
                    return false
                }
                defer { group.cancelAll() }
                return try await group.next() ?? false
            }
        }
        guard isDrained != true else { return }
        subscription.aborting.raise()
        workers.cancelAll()
        try? await withDeadline(graceEnd, clock: clock) { try await queue.waitUntilDrained() }
    }

    /// The time by which cancelled handlers have to end.
    private var graceEnd: AnyClock.Instant { environment.clock.now.advanced(by: environment.cancellationGrace) }

    /// Runs a step of the transport, which may wait for the broker. Proceeds without it at the deadline, or soon after
    /// the subscription is aborted.
    private func wait(until deadline: AnyClock.Instant, for step: @escaping @Sendable () async -> Void) async {
        let (clock, aborting, grace) = (environment.clock, subscription.aborting, environment.cancellationGrace)
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
