internal import Logging

/// A subscription at work: attaches to its queue, runs its workers, and drains when it is told to stop.
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
        var workers: [ObjectIdentifier: Worker] = [:]
        /// Handlers that did not end in time at the shutdown.
        var abandoned = 0
    }

    let info: SubscriptionInfo
    private let specification: QueueSpecification
    private let environment: SubscriptionEnvironment
    private let processor: DeliveryProcessor
    private let queue: DeliveryQueue

    private let state = Locked(State())
    /// The attachment has succeeded or failed.
    private let attachment = Signal()
    private let stopping: Signal
    private let aborting: Signal
    private let ended = Signal()

    init(
        info: SubscriptionInfo,
        handlers: SubscriptionHandlers,
        options: SubscriptionOptions,
        busMiddleware: [any ConsumeMiddleware],
        environment: SubscriptionEnvironment
    ) {
        self.info = info
        self.environment = environment
        self.stopping = Signal()
        self.aborting = Signal()
        self.queue = DeliveryQueue(byKey: options.ordering == .byPartitionKey)
        var specification = QueueSpecification(
            group: info.group,
            name: info.name,
            patterns: handlers.patterns,
            formerPatterns: options.formerPatterns,
            prefetch: options.concurrency,
            singleActiveConsumer: options.ordering == .byPartitionKey && !options.broadcast,
            broadcast: options.broadcast
        )
        specification.ordersByKey = options.ordering == .byPartitionKey
        self.specification = specification
        var middleware = busMiddleware + options.middleware
        if let inbox = options.inbox {
            middleware.append(DeduplicationMiddleware(inbox: inbox, options: options.inboxOptions))
        }
        self.processor = DeliveryProcessor(
            subscription: info,
            handlers: HandlerTable(handlers),
            middleware: middleware.filter(\.isActive).map { $0.prepared(for: info) },
            retry: options.retry,
            handlerTimeout: options.handlerTimeout,
            retriesInProcess: options.ordering == .byPartitionKey || options.broadcast,
            environment: environment,
            stopping: stopping,
            aborting: aborting
        )
    }

    // MARK: What others see

    /// Why the subscription failed, if it did.
    var error: EventBusError? { state.withLock { $0.error } }

    /// How many handlers did not end in time when the subscription stopped.
    var abandoned: Int { state.withLock { $0.abandoned } }

    var isEnded: Bool { ended.isRaised }

    /// Whether its queue is not attached yet, but may still be.
    var isAttaching: Bool {
        state.withLock { ($0.phase == .registered || $0.phase == .attaching) && $0.error == nil }
    }

    /// Whether it has ended as it was told to, and not because it failed.
    var isDone: Bool { isEnded && (error.map { $0.code == .shuttingDown } ?? true) }

    /// Whether the running task is one of its handlers.
    var isRunningCaller: Bool {
        guard let current = EventCorrelation.current else { return false }
        return current.handler == ObjectIdentifier(processor) && current.isHandlerRunning
    }

    /// How many workers there are, and how many of them have a handler that passed its limit and has not ended.
    private var workerCounts: (all: Int, overdue: Int) {
        state.withLock { state in (state.workers.count, state.workers.values.count(where: \.isExpired)) }
    }

    var health: ComponentHealth {
        let (phase, error) = state.withLock { ($0.phase, $0.error) }
        let counts = queue.counts
        let name = "subscription.\(info.queueName)"
        let workers = workerCounts
        let details = ["waiting": counts.waiting, "running": counts.running, "overdue": workers.overdue]
        if let error {
            // Another start would fail the same way.
            return ComponentHealth(
                name: name,
                status: .failed,
                reason: "\(error)",
                details: details,
                restartHelps: false
            )
        }
        switch phase {
        case .attached where workers.overdue > 0 && workers.overdue == workers.all:
            return ComponentHealth(
                name: name,
                status: .notReady,
                reason: "all \(workers.all) handlers have passed their time limit and ignore their cancellation",
                details: details
            )
        case .attached: return ComponentHealth(name: name, status: .ready, details: details)
        case .registered, .attaching:
            return ComponentHealth(name: name, status: .notReady, reason: "not attached yet", details: details)
        case .draining: return ComponentHealth(name: name, status: .notReady, reason: "draining", details: details)
        case .ended: return ComponentHealth(name: name, status: .notReady, reason: "ended", details: details)
        }
    }

    /// Waits until deliveries come.
    func waitUntilAttached() async throws {
        try await attachment.wait()
        if let error { throw error }
    }

    func waitUntilEnded() async throws {
        try await ended.wait()
    }

    // MARK: Life

    /// Ends it before it began, for a reason the user has to know.
    func fail(_ error: EventBusError) {
        note(error)
        attachment.raise()
        ended.raise()
    }

    /// Asks it to drain: no new deliveries, running handlers end in peace until the shutdown deadline.
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

    /// Asks it to cancel its handlers and hand their deliveries back.
    func abort() {
        aborting.raise()
        stop()
    }

    /// Attaches, works until it is stopped, and drains.
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
        for _ in 0..<specification.prefetch { spawnWorker(for: consumer) }
        attachment.raise()
        try? await stopping.wait()
        state.withLock { $0.phase = .draining }
        await drain(consumer)
        state.withLock { $0.phase = .ended }
    }

    private func end(with error: EventBusError) {
        note(error)
        attachment.raise()
    }

    /// Stores why the subscription ended, and says so at once: nobody may be waiting for its attachment.
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

    /// Attaches, unless it is stopped first: then `nil`.
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
            // It may have been attached in the very moment it was stopped.
            if let late = try? await group.next() ?? nil {
                await self.wait(until: self.graceEnd) { await late.close() }
            }
            return nil
        }
    }

    private func drain(_ consumer: any TransportConsumer) async {
        let clock = environment.clock
        let deadline = clock.now.advanced(by: environment.shutdownTimeout)
        await wait(until: deadline) { await consumer.stop() }
        for delivery in queue.close() {
            await settle(delivery, as: .handedBack, attempt: delivery.attempt, consumer: consumer)
        }
        let (queue, aborting) = (queue, aborting)
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
        if isDrained != true {
            aborting.raise()
            for worker in state.withLock({ Array($0.workers.values) }) { worker.cancel() }
            let isDrained: Void? = try? await withDeadline(graceEnd, clock: clock) {
                try await queue.waitUntilDrained()
            }
            if isDrained == nil {
                let running = queue.counts.running
                state.withLock { $0.abandoned = running }
            }
        }
        await wait(until: max(deadline, graceEnd)) { await consumer.close() }
    }

    /// By when what was cancelled has to end.
    private var graceEnd: AnyClock.Instant { environment.clock.now.advanced(by: environment.cancellationGrace) }

    /// Runs a step of the transport, which may wait for the broker, and goes on without it at the deadline, or soon
    /// after the subscription is aborted.
    private func wait(until deadline: AnyClock.Instant, for step: @escaping @Sendable () async -> Void) async {
        let (clock, aborting, grace) = (environment.clock, aborting, environment.cancellationGrace)
        let done = Signal()
        // No child, which would have to be waited for: it ends with the broker's answer, or with the transport.
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

    // MARK: Work

    private func spawnWorker(for consumer: any TransportConsumer, resuming held: HeldDelivery? = nil) {
        let worker = Worker(watchdog: environment.watchdog)
        environment.watchdog.add(worker)
        state.withLock { $0.workers[ObjectIdentifier(worker)] = worker }
        worker.adopt(Task { await self.work(worker, consumer, resuming: held) })
    }

    private func work(
        _ worker: Worker,
        _ consumer: any TransportConsumer,
        resuming held: HeldDelivery?
    ) async {
        defer {
            environment.watchdog.remove(worker)
            _ = state.withLock { $0.workers.removeValue(forKey: ObjectIdentifier(worker)) }
        }
        if let held, await !handle(held, worker, consumer) { return }
        var finished = held?.delivery
        while let delivery = await queue.next(finishing: finished) {
            guard await handle(HeldDelivery(delivery), worker, consumer) else { return }
            finished = delivery
        }
    }

    /// Handles one delivery, with its retries in the process, and settles it.
    ///
    /// - Returns: Whether the worker may go on; if not, another has taken its place.
    private func handle(_ first: HeldDelivery, _ worker: Worker, _ consumer: any TransportConsumer) async -> Bool {
        var held = first
        let clock = environment.clock
        while true {
            if let delay = held.delay {
                switch await processor.hold(held.delivery, of: queue, for: delay, consumer: consumer) {
                case .due:
                    break
                case .stopped:
                    await settle(held.delivery, as: .handedBack, attempt: held.attempt, consumer: consumer)
                    return true
                case .revoked:
                    return true
                }
            }
            let outcome = await processor.attempt(
                held.delivery,
                number: held.attempt,
                heldFor: held.since.map { $0.duration(to: clock.now) } ?? .zero,
                worker: worker,
                consumer: consumer
            )
            if let delay = outcome.holdFor {
                held.delay = delay
                held.attempt = outcome.attempt + 1
                held.since = held.since ?? clock.now
                held.firstFailure = held.firstFailure ?? .now()
                report(held.delivery, outcome.disposition, attempt: outcome.attempt, isHeld: true)
                guard worker.isExpired else { continue }
            } else {
                await worker.shielded {
                    await settle(
                        held.delivery,
                        as: held.dated(outcome.disposition),
                        attempt: outcome.attempt,
                        consumer: consumer
                    )
                }
                guard worker.isExpired else { return true }
                queue.finish(held.delivery)
            }
            // Its task is cancelled for good: another takes its place, and what it still holds.
            spawnWorker(for: consumer, resuming: outcome.holdFor == nil ? nil : held)
            return false
        }
    }

    private func settle(
        _ delivery: Delivery,
        as disposition: Disposition,
        attempt: Int,
        consumer: any TransportConsumer
    ) async {
        do {
            switch disposition {
            case .acknowledged where !Task.isCancelled, .handedBack where !Task.isCancelled:
                try await consumer.settle(delivery, as: disposition)
            default:
                // What takes a while is not to be cut short by the end of a handler's time.
                try await withoutCancellation { try await consumer.settle(delivery, as: disposition) }
            }
        } catch let error as EventBusError where error.code == .staleDelivery {
            noteUnsettled(delivery, error)
            return
        } catch {
            noteUnsettled(delivery, error)
            // Still ours: the broker is to bring it again, instead of waiting for an answer that will not come.
            try? await withoutCancellation { try await consumer.settle(delivery, as: .handedBack) }
            return
        }
        report(delivery, disposition, attempt: attempt, isHeld: false)
    }

    private func noteUnsettled(_ delivery: Delivery, _ error: any Error) {
        environment.logger.logger.debug(
            "a delivery could not be settled and will come again",
            metadata: [LogKeys.eventID: "\(delivery.envelope.id)", LogKeys.error: "\(error)"]
        )
    }

    private func report(_ delivery: Delivery, _ disposition: Disposition, attempt: Int, isHeld: Bool) {
        guard !processor.middleware.isEmpty else { return }
        let settled = SettledDelivery(
            delivery: delivery,
            attempt: attempt,
            disposition: disposition,
            isHeld: isHeld,
            subscription: info,
            logger: environment.logger
        )
        for step in processor.middleware { step.didSettle(settled) }
    }
}
