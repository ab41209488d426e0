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
        /// The workers by index.
        var workers: [Int: Worker] = [:]
        /// The number of handlers that did not end in time at the shutdown.
        var abandoned = 0
    }

    let info: SubscriptionInfo
    private let specification: QueueSpecification
    private let environment: SubscriptionEnvironment
    private let processor: DeliveryProcessor
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
        busMiddleware: [any ConsumeMiddleware],
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
            maximumDeferral: options.maximumDeferral,
            pause: pause,
            maximumHold: options.holdsRetries ? options.maximumHold : nil,
            environment: environment,
            aborting: aborting
        )
    }

    // MARK: What others see

    /// The error of a failed subscription.
    var error: EventBusError? { state.withLock { $0.error } }

    /// The number of handlers that did not end in time when the subscription stopped.
    var abandoned: Int { state.withLock { $0.abandoned } }

    var isEnded: Bool { ended.isRaised }

    /// A Boolean value indicating whether its queue is not attached yet, but may still be.
    var isAttaching: Bool {
        state.withLock { ($0.phase == .registered || $0.phase == .attaching) && $0.error == nil }
    }

    /// A Boolean value indicating whether it has ended regularly, and not because it failed.
    var isDone: Bool { isEnded && (error.map { $0.code == .shuttingDown } ?? true) }

    /// A Boolean value indicating whether the current task is one of its handlers.
    var isRunningCaller: Bool {
        guard let current = EventCorrelation.current else { return false }
        return current.handler == ObjectIdentifier(processor) && current.isHandlerRunning
    }

    /// The number of workers, and the number of those whose handler exceeded its limit and has not ended.
    private var workerCounts: (all: Int, overdue: Int) {
        state.withLock { state in (state.workers.count, state.workers.values.count(where: \.isExpired)) }
    }

    var health: ComponentHealth {
        let (phase, error) = state.withLock { ($0.phase, $0.error) }
        let counts = queue.counts
        let name = "subscription.\(info.queueName)"
        let (workers, deferrals) = (workerCounts, deferrals.summary)
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
            return ComponentHealth(name: name, status: .ready, reason: deferrals.newerVersion, details: details)
        case .registered, .attaching:
            return ComponentHealth(name: name, status: .notReady, reason: "not attached yet", details: details)
        case .draining: return ComponentHealth(name: name, status: .notReady, reason: "draining", details: details)
        case .ended: return ComponentHealth(name: name, status: .notReady, reason: "ended", details: details)
        }
    }

    /// Returns the reason why an attached subscription currently handles nothing, or `nil`.
    private func impediment(
        _ workers: (all: Int, overdue: Int),
        _ deferrals: (count: Int, outage: String?, newerVersion: String?)
    ) -> String? {
        if workers.overdue > 0, workers.overdue == workers.all {
            return "all \(workers.all) handlers have passed their time limit and ignore their cancellation"
        }
        if let pause = pause.current { return "paused, because its inbox cannot be used: \(pause.reason)" }
        return deferrals.outage.map { "handlers cannot work: \($0)" }
    }

    /// Waits until deliveries arrive.
    func waitUntilAttached() async throws {
        try await attachment.wait()
        if let error { throw error }
    }

    func waitUntilEnded() async throws {
        try await ended.wait()
    }

    // MARK: Life

    /// Ends it before it has started, with an error that the user has to know.
    func fail(_ error: EventBusError) {
        note(error)
        attachment.raise()
        ended.raise()
    }

    /// Tells it to drain: it gets no new deliveries, and running handlers may finish until the shutdown deadline.
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

    /// Tells it to cancel its handlers and return their deliveries.
    func abort() {
        aborting.raise()
        stop()
    }

    /// Attaches, runs until it is stopped, and drains.
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
        for place in 0..<concurrency { spawnWorker(at: place, for: consumer) }
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

    /// Attaches, and returns the consumer. Returns `nil` if the subscription is stopped first.
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
                try await Self.first {
                    try await stopping.wait()
                } or: {
                    try await reopening.wait()
                }
                guard !stopping.isRaised else { return }
                // Nothing starts any more. Running handlers finish and are settled.
                if let idle = queue.quiescence() {
                    try await Self.first {
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

    /// Waits until one of two signals is raised.
    private static func first(
        _ one: @escaping @Sendable () async throws -> Void,
        or other: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await one() }
            group.addTask { try await other() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// A Boolean value indicating whether the order of keys is kept across instances.
    private var keepsOrder: Bool { specification.singleActiveConsumer }

    private func drain(_ consumer: any TransportConsumer) async {
        pause.cancel()
        let deadline = environment.clock.now.advanced(by: environment.shutdownTimeout)
        if keepsOrder {
            // No `stop()`, and no delivery is returned alone, because the next consumer would then start with later
            // events. The close returns everything in one step, after the handlers have ended.
            let left = queue.close()
            await awaitHandlers(until: deadline)
            await wait(until: max(deadline, graceEnd)) { await consumer.close() }
            for tracked in left { report(tracked.delivery, .handedBack, attempt: tracked.attempt, isHeld: false) }
        } else {
            await wait(until: deadline) { await consumer.stop() }
            for tracked in queue.close() {
                await settle(tracked.delivery, as: .handedBack, attempt: tracked.attempt, consumer: consumer)
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
        for worker in state.withLock({ Array($0.workers.values) }) { worker.cancel() }
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

    // MARK: Work

    private func spawnWorker(at place: Int, for consumer: any TransportConsumer) {
        let worker = Worker(watchdog: environment.watchdog, queue: queue)
        environment.watchdog.add(worker)
        queue.seat(worker, at: place)
        state.withLock { $0.workers[place] = worker }
        worker.adopt(Task { await self.work(worker, at: place, consumer) })
    }

    private func work(_ worker: Worker, at place: Int, _ consumer: any TransportConsumer) async {
        var finished: Delivery?
        while let tracked = await queue.next(for: place, finishing: finished) {
            let isHeld = await handle(tracked, worker, at: place, consumer)
            finished = isHeld ? nil : tracked.delivery
            guard worker.isExpired || Task.isCancelled else { continue }
            if let finished { queue.finish(finished, by: place) }
            break
        }
        environment.watchdog.remove(worker)
        if queue.isClosed {
            queue.clear(place)
            _ = state.withLock { $0.workers.removeValue(forKey: place) }
        } else {
            // Its task is permanently cancelled, so another one takes its place.
            spawnWorker(at: place, for: consumer)
        }
    }

    /// Makes one attempt at a delivery, and settles it or holds it for the next attempt.
    ///
    /// - Returns: `true` if it is held, so that the worker has finished with it.
    private func handle(
        _ tracked: TrackedDelivery,
        _ worker: Worker,
        at place: Int,
        _ consumer: any TransportConsumer
    ) async -> Bool {
        let delivery = tracked.delivery
        if queue.isToBeReturned(tracked) {
            await giveBack(tracked, consumer)
            if tracked.isProbe { pause.endProbe() }
            return false
        }
        var current = tracked
        if tracked.isProbe, let pause = pause.current {
            // The pause may end with this attempt. Its duration does not count towards the time for retries of the
            // event.
            let paused = pause.since.duration(to: environment.clock.now)
            current.firstArrival = current.firstArrival.advanced(by: paused)
        }
        let outcome = await processor.attempt(current, worker: worker, consumer: consumer)
        if let error = outcome.inboxError { return await pause(tracked, after: error, at: place, consumer) }
        if tracked.isProbe { pause.endProbe() }
        note(outcome.disposition)
        guard let delay = outcome.holdFor, keepsOrder || !outcome.isTooOld else {
            let disposition = outcome.isTooOld ? tooOldDisposition(outcome) : tracked.dated(outcome.disposition)
            await worker.shielded {
                await settle(delivery, as: disposition, attempt: outcome.attempt, consumer: consumer)
            }
            return false
        }
        var held = current
        held.isProbe = false
        held.attempt = outcome.attempt + 1
        switch outcome.disposition {
        case .retried:
            held.firstFailure = held.firstFailure ?? .now()
            held.deferredFor = .zero
        case .deferred(let delay, _?): held.deferredFor += delay
        default: break
        }
        report(delivery, outcome.disposition, attempt: outcome.attempt, isHeld: true)
        let due = environment.clock.now.advanced(by: delay)
        consumer.holds(delivery, until: due)
        guard queue.hold(held, until: due, by: place) else {
            await settle(delivery, as: .handedBack, attempt: outcome.attempt, consumer: consumer)
            return false
        }
        if outcome.isTooOld { queue.requestReopening() }
        return true
    }

    /// Pauses the subscription, because the inbox could not be reached for a delivery. The delivery is returned to the
    /// queue unchanged.
    private func pause(
        _ tracked: TrackedDelivery,
        after error: any Error,
        at place: Int,
        _ consumer: any TransportConsumer
    ) async -> Bool {
        let (begins, nextProbe) = pause.fail(error, isProbe: tracked.isProbe)
        if begins {
            environment.logger.logger.warning(
                "the subscription pauses because its inbox cannot be used; its deliveries wait, and count no attempt",
                metadata: [
                    LogKeys.group: "\(info.group)", LogKeys.subscription: "\(info.name)",
                    LogKeys.error: "\("\(error)".printable)",
                ]
            )
        }
        // Before the delivery is returned, because a broker on a manual clock must not take it for work in progress.
        consumer.pauses(until: nextProbe)
        if queue.putBack(tracked, by: place) { return true }
        await settle(tracked.delivery, as: .handedBack, attempt: tracked.attempt, consumer: consumer)
        return false
    }

    /// Returns a delivery that has waited too long to the broker.
    private func giveBack(_ tracked: TrackedDelivery, _ consumer: any TransportConsumer) async {
        // The broker counts returned deliveries, and assumes that an event with too many redeliveries crashes the
        // process. The count of a copy starts at zero.
        let isLastTime = tracked.delivery.redeliveries + 1 >= DeliveryLanes.aloneAfterRedeliveries
        let disposition = isLastTime ? Disposition.deferred(after: .seconds(1), nil) : .handedBack
        await settle(tracked.delivery, as: disposition, attempt: tracked.attempt, consumer: consumer)
    }

    /// Returns the disposition of a delivery that was deferred for longer than it may be held, if no order is kept.
    private func tooOldDisposition(_ outcome: DeliveryProcessor.Outcome) -> Disposition {
        // The broker would redeliver a broadcast to the same instance endlessly.
        if specification.broadcast, case .deferred(_, let failure?) = outcome.disposition {
            return .deadLettered(failure)
        }
        return .handedBack
    }

    /// Records the outcome of a delivery for health reports and logs.
    private func note(_ disposition: Disposition) {
        switch disposition {
        case .acknowledged: deferrals.noteHandled()
        case .deferred(_, let failure?): deferrals.note(failure)
        default: break
        }
    }

    private func settle(
        _ delivery: Delivery,
        as disposition: Disposition,
        attempt: Int,
        consumer: any TransportConsumer
    ) async {
        if keepsOrder, case .handedBack = disposition {
            // It stays unacknowledged until its channel is closed. If it were returned alone, it would be redelivered
            // after the events behind it.
            return report(delivery, disposition, attempt: attempt, isHeld: false)
        }
        while true {
            do {
                switch disposition {
                case .acknowledged where !Task.isCancelled, .handedBack where !Task.isCancelled:
                    try await consumer.settle(delivery, as: disposition)
                default:
                    // A slow settlement must not be interrupted by the handler's time limit.
                    try await withoutCancellation { try await consumer.settle(delivery, as: disposition) }
                }
                return report(delivery, disposition, attempt: attempt, isHeld: false)
            } catch let error as EventBusError where error.code == .staleDelivery {
                return noteUnsettled(delivery, error)
            } catch {
                noteUnsettled(delivery, error)
                if keepsOrder {
                    // It keeps its place, and its key waits, until the broker can accept its settlement.
                    guard await mayBeSettledLater(delivery) else { return }
                } else {
                    // Returned, so that the broker redelivers it instead of waiting for a settlement that will never
                    // arrive.
                    try? await withoutCancellation { try await consumer.settle(delivery, as: .handedBack) }
                    return
                }
            }
        }
    }

    /// Waits for a moment before a delivery is settled again.
    ///
    /// - Returns: `true` if it may be settled again. Otherwise the subscription is stopping, or the broker redelivers
    ///   it anyway.
    private func mayBeSettledLater(_ delivery: Delivery) async -> Bool {
        let (clock, stopping) = (environment.clock, stopping)
        let due = clock.now.advanced(by: .seconds(1))
        // In a separate task, because the worker's task may be cancelled, and then would not wait.
        await Task { _ = try? await withDeadline(due, clock: clock) { try await stopping.wait() } }.value
        return !stopping.isRaised && !queue.isRevoked(delivery)
    }

    private func noteUnsettled(_ delivery: Delivery, _ error: any Error) {
        environment.logger.logger.debug(
            "a delivery could not be settled",
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
