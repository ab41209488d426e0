internal import Instrumentation

/// A processor that handles one delivery, from decoding to its outcome.
final class DeliveryProcessor: Sendable {
    let subscription: SubscriptionInfo
    let handlers: HandlerTable
    let observers: [any DeliveryObserver]
    let retry: RetryPolicy
    let retryVerdict: (@Sendable (any Error) -> RetryVerdict)?
    let handlerLimit: HandlerLimit
    /// A Boolean value indicating whether events that the handler publishes have derived identities.
    let derivesEventIDs: Bool
    /// A Boolean value indicating whether events that the handler publishes are held until it has returned.
    let holdsPublishes: Bool
    /// The maximum time for which an event may be deferred without an attempt.
    let maximumDeferral: Duration
    /// The pause that holds deliveries back while the inbox is unusable.
    let pause: SubscriptionPause
    /// The maximum age of a delivery that is held and retried in this process, or `nil` if retries are scheduled by the
    /// broker.
    let maximumHold: Duration?
    let environment: SubscriptionEnvironment
    /// A signal that is raised when the session has to end, so that nothing more arrives.
    let stopping: Signal
    /// A signal that is raised when running handlers are cancelled. Their failures no longer count.
    let aborting: Signal

    private let chain: Invocation

    init(
        subscription: SubscriptionInfo,
        handlers: HandlerTable,
        middleware: [any ConsumeMiddleware],
        observers: [any DeliveryObserver],
        retry: RetryPolicy,
        retryVerdict: (@Sendable (any Error) -> RetryVerdict)?,
        handlerLimit: HandlerLimit,
        derivesEventIDs: Bool,
        holdsPublishes: Bool,
        maximumDeferral: Duration,
        pause: SubscriptionPause,
        maximumHold: Duration?,
        environment: SubscriptionEnvironment,
        stopping: Signal,
        aborting: Signal
    ) {
        self.subscription = subscription
        self.handlers = handlers
        self.observers = observers
        self.retry = retry
        self.retryVerdict = retryVerdict
        self.handlerLimit = handlerLimit
        self.derivesEventIDs = derivesEventIDs
        self.holdsPublishes = holdsPublishes
        self.maximumDeferral = maximumDeferral
        self.pause = pause
        self.maximumHold = maximumHold
        self.environment = environment
        self.stopping = stopping
        self.aborting = aborting
        // Folded once, so that a delivery costs one call for each step and no allocation.
        var chain: Invocation = { context in
            if derivesEventIDs { context.worker.currentAttempt.beginCall() }
            defer { if derivesEventIDs { context.worker.currentAttempt.endCall() } }
            // A responder may find out otherwise.
            context.handlerEvidence = .works
            if holdsPublishes {
                try await context.invokeHoldingPublishes()
            } else {
                try await context.invocation(context)
            }
            // Between the effect and its record, inside the step of the inbox.
            if context.fault == .crashAfterHandler {
                context.hasCrashed = true
                throw InjectedFault.crashAfterHandler
            }
        }
        for step in middleware.reversed() {
            let next = ConsumeNext(chain)
            chain = { context in try await step.consume(context, next: next) }
        }
        self.chain = chain
    }

    /// The outcome of a delivery, and the number of the last attempt.
    struct Outcome: Sendable {
        var disposition: Disposition
        var attempt: Int
        /// The time to hold the delivery before the next attempt in this process, or `nil` to settle it now.
        var holdFor: Duration?
        /// A Boolean value indicating whether the delivery has waited too long for something other than its handler.
        var isTooOld = false
        /// The time that counts towards the maximum deferral.
        var deferredFor = Duration.zero
        /// The error of the inbox if it could not be reached. Then the subscription pauses, and the disposition is
        /// ignored.
        var inboxError: (any Error)?
        /// A Boolean value indicating whether the attempt tells of a failing handler, or `nil` if it tells nothing.
        var isHandlerFailure: Bool?
    }

    /// Makes one attempt and decides the next step.
    ///
    /// - Parameter identityError: The error that prevented the event's id from being derived, so that its handler must not
    ///   run.
    func attempt(
        _ tracked: TrackedDelivery,
        identityError: EventBusError? = nil,
        worker: Worker,
        consumer: any TransportConsumer
    ) async -> Outcome {
        var evidence = HandlerEvidence.none
        var outcome = await attempt(
            tracked,
            identityError: identityError,
            worker: worker,
            consumer: consumer,
            evidence: &evidence
        )
        outcome.isHandlerFailure = outcome.disposition.isHandlerFailure(evidence)
        return outcome
    }

    private func attempt(
        _ tracked: TrackedDelivery,
        identityError: EventBusError?,
        worker: Worker,
        consumer: any TransportConsumer,
        evidence: inout HandlerEvidence
    ) async -> Outcome {
        let attempt = tracked.attempt
        // Decided before the attempt, by the longest possible delay after it, so that the handler can be told.
        let start = maximumHold == nil ? tracked.arrival : environment.clock.now
        let exhaustsHold =
            maximumHold.map { limit in
                tracked.firstArrival.duration(to: start) + retry.bound(afterAttempt: attempt) > limit
            } ?? false
        let exhaustsTime = retry.maximumTime != nil && exhaustsRetryTime(tracked)
        var disposition: Disposition
        do {
            disposition = try await handle(
                tracked,
                identityError: identityError,
                isLast: exhaustsHold || exhaustsTime || attempt >= retry.maximumAttempts,
                worker: worker,
                consumer: consumer,
                evidence: &evidence
            )
        } catch {
            return Outcome(disposition: .requeued, attempt: attempt, inboxError: error.underlying)
        }
        if retry.maximumTime != nil { disposition = limited(disposition, of: tracked, isLast: exhaustsTime) }
        guard let maximumHold else { return Outcome(disposition: disposition, attempt: attempt) }
        switch disposition {
        case .retried(let delay, var failure):
            if exhaustsHold {
                failure.reason = .holdLimit
                return Outcome(disposition: .deadLettered(failure), attempt: attempt)
            }
            // A verdict may ask for more than the policy's delay, for which the event may be held.
            let now = environment.clock.now
            let hold = min(delay, max(.zero, maximumHold - tracked.firstArrival.duration(to: now)))
            // A pause extends the time for retries, but not the time that the broker waits for a settlement. Without a
            // pause, only a long attempt leads beyond the hold.
            let isExtended = tracked.firstArrival > tracked.arrival
            let limit = isExtended ? maximumHold : SubscriptionOptions.maximumAge(holding: maximumHold)
            let isTooOld = tracked.arrival.duration(to: now.advanced(by: hold)) > limit
            return Outcome(disposition: disposition, attempt: attempt, holdFor: hold, isTooOld: isTooOld)
        case .deferred(let delay, var failure?) where failure.reason == .postponed:
            // Returning it to the broker would lead to the next attempt immediately.
            let left = maximumHold - tracked.arrival.duration(to: environment.clock.now)
            guard left >= RetryLater.shortestDeferral else {
                failure.attempt = attempt
                return Outcome(disposition: .deadLettered(failure), attempt: attempt)
            }
            let hold = min(delay, left)
            return Outcome(disposition: disposition, attempt: attempt - 1, holdFor: hold, deferredFor: hold)
        case .deferred(let delay, let failure):
            // Shorter than the hold, so that an event that has just arrived waits before it goes back to the broker.
            let hold = min(delay, maximumHold / 2)
            let now = environment.clock.now
            let isTooOld = tracked.arrival.duration(to: now.advanced(by: hold)) > maximumHold
            return Outcome(
                disposition: .deferred(after: hold, failure),
                attempt: attempt - 1,
                holdFor: hold,
                isTooOld: isTooOld,
                // An event that goes back to the broker comes again at once, so only the attempt took time.
                deferredFor: isTooOld ? start.duration(to: now) : hold
            )
        case .acknowledged, .deadLettered, .requeued:
            return Outcome(disposition: disposition, attempt: attempt)
        }
    }

    /// Makes one attempt.
    private func handle(
        _ tracked: TrackedDelivery,
        identityError: EventBusError?,
        isLast: Bool,
        worker: Worker,
        consumer: any TransportConsumer,
        evidence: inout HandlerEvidence
    ) async throws(InboxUnavailable) -> Disposition {
        let attempt = tracked.attempt
        let delivery: Delivery
        let invocation: Invocation
        do {
            if let identityError { throw identityError }
            var arrived = tracked.delivery
            if environment.payloads.redeems {
                arrived = try await environment.payloads.redeemed(arrived, clock: environment.clock) ?? arrived
            }
            delivery = try environment.payloads.decoded(arrived)
            guard let found = try handlers.invocation(for: delivery.envelope) else {
                return .deadLettered(
                    Failure(
                        reason: .staleBinding,
                        errorType: "EventBusError",
                        message: "topic \(delivery.envelope.topic) is outside \(subscription.pattern), which "
                            + "\(subscription.queueName) asks for: unbind the pattern of an earlier release",
                        attempt: attempt
                    )
                )
            }
            invocation = found
        } catch let error as EventBusError where error.code == .newerVersion {
            return deferral(of: tracked, reason: .newerVersion, error)
        } catch let error as EventBusError where error.code.isOutage {
            return deferral(of: tracked, reason: .unavailable, error)
        } catch {
            return .deadLettered(Failure(reason: .undecodable, error: error, attempt: attempt))
        }
        let context = EventContext(
            delivery: delivery,
            attempt: attempt,
            isLastAttempt: isLast,
            isProbe: tracked.isProbe,
            worker: worker,
            invocation: invocation,
            processor: self,
            consumer: consumer
        )
        if context.fault == .crashBeforeHandler {
            return disposition(of: tracked, after: InjectedFault.crashBeforeHandler)
        }
        let number = worker.currentAttempt.begin(context)
        defer { worker.currentAttempt.end() }
        let correlation = context.correlation(attempt: number)
        let previousDeadline = handlerLimit.duration(for: tracked, at: environment.clock.now).map { worker.arm($0) }
        defer { if let previousDeadline { worker.disarm(restoring: previousDeadline) } }
        let failure: (any Error)?
        do {
            try await ServiceContext.$current.withValue(correlation.serviceContext) { try await chain(context) }
            failure = context.lastFault
        } catch {
            failure = error
        }
        // Also if middleware has swallowed or replaced the error, because no handler has seen the event then.
        if let uncounted = context.uncountedError ?? failure as? any UncountedError {
            return try disposition(of: tracked, afterUncounted: uncounted, context)
        }
        guard let failure else {
            evidence = context.handlerEvidence
            return .acknowledged
        }
        if (failure as? EventBusError)?.code == .timedOut { return disposition(of: tracked, after: failure) }
        // The broker has redelivered the event, so the outcome of this attempt is ignored.
        if worker.isRevoked(delivery) { return .requeued }
        if let error = failure as? EventBusError, error.code.isAboutTheEvent { evidence = .publishedNoEvent }
        return disposition(of: tracked, after: context.timeoutError(underlying: failure) ?? failure)
    }

    /// Returns the disposition of a delivery for which the inbox let no handler run.
    ///
    /// - Throws: The error that pauses the subscription.
    private func disposition(
        of tracked: TrackedDelivery,
        afterUncounted error: any UncountedError,
        _ context: EventContext
    ) throws(InboxUnavailable) -> Disposition {
        if let deferred = error as? DeferredDelivery { return deferral(of: tracked, deferred) }
        if context.isGivenUp { return .requeued }
        if let own = error as? OwnInboxError { return deferral(of: tracked, reason: .inboxFailed, own.underlying) }
        throw error as? InboxUnavailable ?? InboxUnavailable(underlying: error)
    }
}
