internal import Logging

/// The workers of a subscription: each takes a delivery from the queue, makes an attempt, and settles or holds it.
final class WorkerPool: Sendable {
    private let subscription: SubscriptionInfo
    private let isBroadcast: Bool
    private let environment: SubscriptionEnvironment
    private let processor: DeliveryProcessor
    private let queue: DeliveryQueue
    private let pause: SubscriptionPause
    private let deferrals: DeferralStatus
    private let settler: DeliverySettler
    /// The source of the events' ids, if the subscription derives them.
    private let identifier: EventIdentifier?
    /// The record of failures, if the subscription has a circuit breaker.
    private let failures: FailureRate?

    /// The workers by index.
    private let workers = Locked<[Int: Worker]>([:])

    init(
        subscription: SubscriptionInfo,
        isBroadcast: Bool,
        environment: SubscriptionEnvironment,
        processor: DeliveryProcessor,
        queue: DeliveryQueue,
        pause: SubscriptionPause,
        deferrals: DeferralStatus,
        settler: DeliverySettler,
        identifier: EventIdentifier?,
        failures: FailureRate?
    ) {
        self.subscription = subscription
        self.isBroadcast = isBroadcast
        self.environment = environment
        self.processor = processor
        self.queue = queue
        self.pause = pause
        self.deferrals = deferrals
        self.settler = settler
        self.identifier = identifier
        self.failures = failures
    }

    /// The number of workers, of those whose handler was cancelled and has not ended in time, and of those whose event
    /// waits for other handlers.
    var counts: (all: Int, overdue: Int, waiting: Int) {
        workers.withLock { workers in
            let workers = workers.values
            return (
                workers.count, workers.count(where: \.isOverdue), workers.count { $0.isWaiting && !$0.isOverdue }
            )
        }
    }

    /// The error of an inbox that keeps every worker from recording its effect, so that none of them can handle anything,
    /// or `nil`.
    var recordError: String? {
        workers.withLock { workers in
            var error: String?
            for worker in workers.values {
                guard let next = worker.recordError else { return nil }
                error = next
            }
            return error
        }
    }

    /// Starts `count` workers for the deliveries of `consumer`.
    func start(_ count: Int, for consumer: any TransportConsumer) {
        queue.onAbandonedProbe { [weak pause] in
            guard let nextProbe = pause?.failProbe("its probe ignores its cancellation") else { return }
            consumer.pauses(until: nextProbe)
        }
        for place in 0..<count { spawnWorker(at: place, for: consumer) }
    }

    /// Cancels the handlers that run.
    func cancelAll() {
        for worker in workers.withLock({ Array($0.values) }) { worker.cancel() }
    }

    private func spawnWorker(at place: Int, for consumer: any TransportConsumer) {
        let worker = Worker(watchdog: environment.watchdog, queue: queue)
        environment.watchdog.add(worker)
        queue.seat(worker, at: place)
        workers.withLock { $0[place] = worker }
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
            _ = workers.withLock { $0.removeValue(forKey: place) }
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
        let tooOld = queue.takeTooOld(with: tracked)
        if !tooOld.isEmpty {
            await giveBack(tooOld, consumer)
            if queue.endProbe(tracked) { pause.endProbe() }
            return false
        }
        if let due = tracked.heldUntil, due > environment.clock.now {
            // An earlier session was holding it for its next attempt.
            return await hold(tracked, until: due, at: place, consumer)
        }
        var current = tracked
        var identityError: EventBusError?
        if let identifier {
            do throws(EventBusError) {
                current.delivery = try identifier.identified(tracked.delivery)
            } catch {
                identityError = error
            }
        }
        let delivery = current.delivery
        if tracked.isProbe, let pause = pause.current {
            // The pause may end with this attempt.
            current.extend(byPauseSince: pause.since, until: environment.clock.now)
        }
        let outcome = await processor.attempt(current, identityError: identityError, worker: worker, consumer: consumer)
        let isProbe = queue.endProbe(tracked)
        if let error = outcome.inboxError {
            return await pause(tracked, isProbe: isProbe, after: error, at: place, consumer)
        }
        // A probe that was abandoned has failed already.
        if let failures, isProbe || !tracked.isProbe {
            judge(outcome, isProbe: isProbe, failures, consumer)
        } else if isProbe {
            pause.endProbe()
        }
        note(outcome, of: tracked)
        guard let delay = outcome.holdFor, settler.keepsOrder || !outcome.isTooOld || outcome.disposition.isRetry else {
            let disposition = outcome.isTooOld ? tooOldDisposition(outcome) : tracked.dated(outcome.disposition)
            await worker.shielded {
                await settler.settle(delivery, as: disposition, attempt: outcome.attempt, consumer: consumer)
            }
            return false
        }
        var held = current
        held.isProbe = false
        held.attempt = outcome.attempt + 1
        switch outcome.disposition {
        case .retried:
            held.noteFailure(environment.clock)
            held.deferredFor = .zero
        case .deferred(_, let failure?):
            held.deferredFor += outcome.deferredFor
            // Its handler has run, so it is not returned to the broker like an event that waits for its first attempt.
            if failure.reason == .postponed { held.noteRun() }
        default: break
        }
        settler.report(delivery, outcome.disposition, attempt: outcome.attempt, isHeld: true)
        let due = environment.clock.now.advanced(by: delay)
        held.heldUntil = due
        // If it goes back to the broker at once, a broker on a manual clock must not wait for that time.
        if !outcome.isTooOld { consumer.holds(delivery, until: due) }
        guard queue.hold(held, until: due, by: place) else {
            await settler.settle(delivery, as: .requeued, attempt: outcome.attempt, consumer: consumer)
            return false
        }
        if outcome.isTooOld {
            if settler.keepsOrder { queue.requestReopening() } else { await giveBack(queue.takeAll(), consumer) }
        }
        return true
    }

    /// Holds a delivery for the rest of the time until its next attempt.
    private func hold(
        _ tracked: TrackedDelivery,
        until due: AnyClock.Instant,
        at place: Int,
        _ consumer: any TransportConsumer
    ) async -> Bool {
        let isProbe = queue.endProbe(tracked)
        defer { if isProbe { pause.endProbe() } }
        var held = tracked
        held.isProbe = false
        consumer.holds(tracked.delivery, until: due)
        if queue.hold(held, until: due, by: place) { return true }
        await settler.settle(tracked.delivery, as: .requeued, attempt: tracked.attempt, consumer: consumer)
        return false
    }

    /// Returns deliveries to the broker, in order, because they have waited too long.
    private func giveBack(_ deliveries: [TrackedDelivery], _ consumer: any TransportConsumer) async {
        for tracked in deliveries {
            await settler.settle(tracked.delivery, as: .requeued, attempt: tracked.attempt, consumer: consumer)
        }
    }

    /// Pauses the subscription, because the inbox could not be reached for a delivery. The delivery is returned to the
    /// queue unchanged.
    private func pause(
        _ tracked: TrackedDelivery,
        isProbe: Bool,
        after error: any Error,
        at place: Int,
        _ consumer: any TransportConsumer
    ) async -> Bool {
        let (begins, nextProbe) = pause.fail(.inbox, String(loggable: error), isProbe: isProbe)
        if begins {
            log(
                .warning,
                "the subscription pauses because its inbox cannot be used; its deliveries wait, and count no attempt",
                [LogKeys.error: "\(String(loggable: error))"]
            )
        }
        // Before the delivery is returned, because a broker on a manual clock must not take it for work in progress.
        consumer.pauses(until: nextProbe)
        if queue.putBack(tracked, by: place) { return true }
        await settler.settle(tracked.delivery, as: .requeued, attempt: tracked.attempt, consumer: consumer)
        return false
    }

    /// Opens or closes the circuit breaker by the outcome of an attempt.
    private func judge(
        _ outcome: DeliveryProcessor.Outcome,
        isProbe: Bool,
        _ failures: FailureRate,
        _ consumer: any TransportConsumer
    ) {
        let (isFailure, failure) = (outcome.isHandlerFailure, outcome.disposition.failure)
        if isProbe, let current = pause.current, current.cause == .failures {
            switch isFailure {
            case true?:
                let reason = failure.map { "\($0.errorType): \($0.message)" } ?? "its probe failed"
                consumer.pauses(until: pause.fail(.failures, reason, isProbe: true).nextProbe)
            case false?:
                guard let ended = pause.end(.failures) else { return }
                consumer.pauses(until: nil)
                let paused = ended.since.duration(to: environment.clock.now)
                log(.notice, "the subscription goes on: its handler works again", [LogKeys.delay: "\(paused)"])
            case nil:
                pause.endProbe()
            }
            return
        }
        if isProbe { pause.endProbe() }
        // While the subscription is paused, handlers that started before tell nothing new.
        guard let isFailure, !pause.isActive,
            let reason = failures.note(isFailure: isFailure, at: environment.clock.now)
        else { return }
        let last = failure.map { ", at last \($0.errorType): \($0.message)" } ?? ""
        let (begins, nextProbe) = pause.fail(.failures, reason + last, isProbe: false)
        guard begins else { return }
        consumer.pauses(until: nextProbe)
        log(
            .warning,
            "the subscription pauses because its circuit breaker opens; its deliveries wait, and one at a time is tried",
            [LogKeys.error: "\(String(loggable: reason + last))"]
        )
    }

    private func log(_ level: Logger.Level, _ message: Logger.Message, _ metadata: Logger.Metadata) {
        var metadata = metadata
        metadata[LogKeys.group] = "\(subscription.group)"
        metadata[LogKeys.subscription] = "\(subscription.name)"
        environment.logger.logger.log(level: level, message, metadata: metadata)
    }

    /// Returns the disposition of a delivery that was deferred for longer than it may be held, if no order is kept.
    private func tooOldDisposition(_ outcome: DeliveryProcessor.Outcome) -> Disposition {
        // The broker would redeliver a broadcast to the same instance endlessly.
        if isBroadcast, case .deferred(_, let failure?) = outcome.disposition {
            return .deadLettered(failure)
        }
        return .requeued
    }

    /// Records the outcome of a delivery for health reports and logs.
    private func note(_ outcome: DeliveryProcessor.Outcome, of tracked: TrackedDelivery) {
        switch outcome.disposition {
        case .acknowledged: if outcome.isHandlerFailure == false { deferrals.noteHandled() }
        case .deferred(_, let failure?): deferrals.note(failure, after: tracked.deferredFor)
        default: break
        }
    }
}
