internal import Instrumentation

/// Takes one delivery from decoding to what becomes of it.
final class DeliveryProcessor: Sendable {
    let subscription: SubscriptionInfo
    let handlers: HandlerTable
    let middleware: [any ConsumeMiddleware]
    let retry: RetryPolicy
    let handlerTimeout: Duration?
    /// How old a delivery may become that is held and tried again here; `nil` where it goes back to the broker until it
    /// is due.
    let maximumHold: Duration?
    let environment: SubscriptionEnvironment
    /// Raised when running handlers are cancelled: failures are no longer theirs.
    let aborting: Signal

    private let chain: Invocation

    init(
        subscription: SubscriptionInfo,
        handlers: HandlerTable,
        middleware: [any ConsumeMiddleware],
        retry: RetryPolicy,
        handlerTimeout: Duration?,
        maximumHold: Duration?,
        environment: SubscriptionEnvironment,
        aborting: Signal
    ) {
        self.subscription = subscription
        self.handlers = handlers
        self.middleware = middleware
        self.retry = retry
        self.handlerTimeout = handlerTimeout
        self.maximumHold = maximumHold
        self.environment = environment
        self.aborting = aborting
        // Folded once, so that a delivery pays one call for each step and allocates nothing for it.
        var chain: Invocation = { context in
            try await context.invocation(context)
            // Between the effect and its record: within the step of the inbox.
            if context.fault == .crashAfterHandler { throw InjectedFault.crashAfterHandler }
        }
        for step in middleware.reversed() where !(step is any SettlementObserver) {
            let next = ConsumeNext(chain)
            chain = { context in try await step.consume(context, next: next) }
        }
        self.chain = chain
    }

    /// What became of a delivery, and the number of the last attempt.
    struct Outcome: Sendable {
        var disposition: Disposition
        var attempt: Int
        /// How long to hold the delivery before the next attempt in this process; `nil` to settle it now.
        var holdFor: Duration?
        /// Whether the delivery has waited too long for something other than its handler.
        var isTooOld = false
    }

    /// Makes one attempt and decides what follows.
    func attempt(
        _ tracked: TrackedDelivery,
        worker: Worker,
        consumer: any TransportConsumer
    ) async -> Outcome {
        let (delivery, attempt) = (tracked.delivery, tracked.attempt)
        guard let maximumHold else {
            let disposition = await handle(
                delivery,
                attempt: attempt,
                isLast: attempt >= retry.maxAttempts,
                worker: worker,
                consumer: consumer
            )
            return Outcome(disposition: disposition, attempt: attempt)
        }
        // Decided before the attempt, by the longest delay that may follow, so that the handler knows.
        let age = tracked.firstArrival.duration(to: environment.clock.now)
        let exhaustsHold = age + retry.bound(afterAttempt: attempt) > maximumHold
        let disposition = await handle(
            delivery,
            attempt: attempt,
            isLast: exhaustsHold || attempt >= retry.maxAttempts,
            worker: worker,
            consumer: consumer
        )
        switch disposition {
        case .retried(let delay, var failure):
            if exhaustsHold {
                failure.reason = .holdLimit
                return Outcome(disposition: .deadLettered(failure), attempt: attempt)
            }
            return Outcome(disposition: disposition, attempt: attempt, holdFor: delay)
        case .deferred(let delay):
            let due = environment.clock.now.advanced(by: delay)
            return Outcome(
                disposition: disposition,
                attempt: attempt - 1,
                holdFor: delay,
                isTooOld: tracked.arrival.duration(to: due) > maximumHold
            )
        case .acknowledged, .deadLettered, .handedBack:
            return Outcome(disposition: disposition, attempt: attempt)
        }
    }

    /// Makes one attempt.
    private func handle(
        _ delivery: Delivery,
        attempt: Int,
        isLast: Bool,
        worker: Worker,
        consumer: any TransportConsumer
    ) async -> Disposition {
        let envelope = delivery.envelope
        let invocation: Invocation
        do {
            guard let found = try handlers.invocation(for: envelope) else {
                return .deadLettered(
                    Failure(
                        reason: .staleBinding,
                        errorType: "EventBusError",
                        message: "topic \(envelope.topic) is outside \(subscription.pattern), which "
                            + "\(subscription.queueName) asks for: unbind the pattern of an earlier release",
                        attempt: attempt
                    )
                )
            }
            invocation = found
        } catch let error as EventBusError where error.code == .newerVersion {
            return disposition(after: error, attempt: attempt, retry: .newerVersion)
        } catch {
            return .deadLettered(Failure(reason: .undecodable, error: error, attempt: attempt))
        }
        let context = EventContext(
            delivery: delivery,
            subscription: subscription,
            attempt: attempt,
            isLastAttempt: isLast,
            worker: worker,
            invocation: invocation,
            logger: environment.logger,
            consumer: consumer,
            aborting: aborting
        )
        if context.fault == .crashBeforeHandler {
            return disposition(after: InjectedFault.crashBeforeHandler, attempt: attempt)
        }
        let number = worker.currentAttempt.begin(context, of: self)
        defer { worker.currentAttempt.end() }
        let correlation = EventCorrelation(
            handling: envelope,
            correlationID: context.correlationID,
            bus: environment.bus,
            handler: ObjectIdentifier(self),
            attempt: (worker.currentAttempt, number)
        )
        let previousDeadline = handlerTimeout.map { worker.arm($0) }
        defer { if let previousDeadline { worker.disarm(restoring: previousDeadline) } }
        do {
            try await ServiceContext.$current.withValue(correlation.serviceContext) { try await chain(context) }
            if context.fault == .crashAfterRecord { throw InjectedFault.crashAfterRecord }
            return .acknowledged
        } catch let deferred as DeferredDelivery {
            return .deferred(after: deferred.after)
        } catch let error as EventBusError where error.code == .timedOut {
            return disposition(after: error, attempt: attempt)
        } catch {
            // The broker has given the event to someone again: what became of it here counts for nothing.
            if worker.isRevoked(delivery) { return .handedBack }
            let cause = handlerTimeout.flatMap { worker.timeoutError(limit: $0, underlying: error) }
            return disposition(after: cause ?? error, attempt: attempt)
        }
    }

    private func disposition(after error: any Error, attempt: Int, retry: RetryPolicy? = nil) -> Disposition {
        if aborting.isRaised { return .handedBack }
        if let error = error as? EventBusError, error.code == .decodingFailed {
            return .deadLettered(Failure(reason: .undecodable, error: error, attempt: attempt))
        }
        var generator = SystemRandomNumberGenerator()
        switch (retry ?? self.retry).decide(attempt: attempt, error: error, using: &generator) {
        case .retry(let delay):
            return .retried(after: delay, Failure(reason: .handlerFailed, error: error, attempt: attempt))
        case .deadLetter(let reason):
            return .deadLettered(Failure(reason: reason, error: error, attempt: attempt))
        }
    }
}
