extension DeliveryProcessor {
    /// Returns the disposition of a delivery whose attempt threw `error`.
    func disposition(of tracked: TrackedDelivery, after error: any Error) -> Disposition {
        if aborting.isRaised { return .requeued }
        // An injected crash takes the place of a redelivery, about which no code of the user decides.
        let verdict = error is InjectedFault ? .byPolicy : retryVerdict?(error) ?? .byPolicy
        switch verdict.kind {
        case .byPolicy:
            return dispositionByPolicy(of: tracked, after: error)
        case .giveUp:
            return .deadLettered(Failure(reason: .nonRetryable, error: error, attempt: tracked.attempt))
        case .retry(let delay, let maximumAttempts):
            return retried(tracked, after: delay, maximumAttempts: maximumAttempts, error)
        }
    }

    /// Defers a delivery without an attempt, unless it has been deferred for too long.
    ///
    /// - Parameters:
    ///   - delay: The delay, or `nil` for one that grows with the time for which the delivery has been deferred.
    ///   - minimum: A time for which it may be deferred even if the subscription allows less.
    func deferral(
        of tracked: TrackedDelivery,
        reason: Failure.Reason,
        after delay: Duration? = nil,
        forAtLeast minimum: Duration = .zero,
        _ error: any Error
    ) -> Disposition {
        if aborting.isRaised { return .requeued }
        guard tracked.deferredFor < max(maximumDeferral, minimum) else {
            return .deadLettered(Failure(reason: reason, error: error, attempt: tracked.attempt))
        }
        let longest = min(max(tracked.deferredFor, .milliseconds(500)), .seconds(30))
        return .deferred(
            after: min(delay ?? longest * Double.random(in: 0.5...1), TransportLimits.maximumDelay),
            Failure(reason: reason, error: error, attempt: tracked.attempt - 1)
        )
    }

    /// Defers a delivery whose event another consumer has claimed, unless the claim lasts for too long.
    func deferral(of tracked: TrackedDelivery, _ claimed: DeferredDelivery) -> Disposition {
        // A consumer that was killed keeps its claim for a lease. One whose handler hangs renews it up to the time limit
        // and then for little more than a lease.
        let longestClaim = (handlerLimit.longest ?? .zero).clampedToLongest + claimed.lease * 4
        return deferral(of: tracked, reason: .inProgress, after: claimed.after, forAtLeast: longestClaim, claimed)
    }

    /// Returns a Boolean value indicating whether the longest possible delay after the next attempt would end later than
    /// the policy allows.
    func exhaustsRetryTime(_ tracked: TrackedDelivery) -> Bool {
        guard let left = retryTimeLeft(for: tracked) else { return false }
        return retry.bound(afterAttempt: tracked.attempt) > left
    }

    /// Returns the disposition that complies with the policy's maximum time.
    func limited(_ disposition: Disposition, of tracked: TrackedDelivery, isLast: Bool) -> Disposition {
        guard case .retried(let delay, var failure) = disposition else { return disposition }
        if isLast {
            failure.reason = .retryTimeExhausted
            return .deadLettered(failure)
        }
        // The handler or a verdict may ask for more than the policy's delay.
        let left = retryTimeLeft(for: tracked) ?? .longest
        return .retried(after: min(delay, max(.zero, left)), failure)
    }

    /// Returns the time that is left for retries by the policy, or `nil` if it is not limited.
    private func retryTimeLeft(for tracked: TrackedDelivery) -> Duration? {
        guard let limit = retry.maximumTime else { return nil }
        var elapsed = Duration.zero
        if let first = tracked.firstFailureInstant { elapsed = first.duration(to: environment.clock.now) }
        if let first = tracked.delivery.firstFailure {
            let now = environment.clock.wallTime
            let (milliseconds, overflow) = now.milliseconds.subtractingReportingOverflow(first.milliseconds)
            // A time in the future was stored before the clock was set back, and counts as now.
            let stored: Duration =
                overflow ? (first < now ? .longest : .zero) : .milliseconds(milliseconds).clampedToLongest
            elapsed = max(elapsed, stored)
        }
        return limit - elapsed
    }

    private func dispositionByPolicy(of tracked: TrackedDelivery, after error: any Error) -> Disposition {
        switch error {
        case let error as EventBusError where error.code == .decodingFailed:
            return .deadLettered(Failure(reason: .undecodable, error: error, attempt: tracked.attempt))
        case let error as EventBusError where error.code.isOutage:
            return deferral(of: tracked, reason: .unavailable, error)
        case let later as RetryLater where later.countsAsAttempt:
            return retried(tracked, after: later.delay, error)
        case let later as RetryLater:
            let delay = max(later.delay, RetryLater.shortestDeferral)
            return deferral(of: tracked, reason: .postponed, after: delay, error)
        case let error as EventBusError where error.code == .rateLimited:
            let delay = (error.underlying as? RetryLater)?.delay
            let shortest = RetryLater.shortestDeferral
            return deferral(of: tracked, reason: .postponed, after: delay.map { max($0, shortest) }, error)
        case is any NonRetryable:
            return .deadLettered(Failure(reason: .nonRetryable, error: error, attempt: tracked.attempt))
        default:
            return retried(tracked, error)
        }
    }

    /// Retries a delivery, unless it has used all its attempts.
    ///
    /// - Parameters:
    ///   - delay: The delay, or `nil` for that of the policy.
    ///   - maximumAttempts: The maximum number of attempts. That of the policy applies as well.
    private func retried(
        _ tracked: TrackedDelivery,
        after delay: Duration? = nil,
        maximumAttempts: Int = .max,
        _ error: any Error
    ) -> Disposition {
        let attempt = tracked.attempt
        guard attempt < min(maximumAttempts, retry.maximumAttempts) else {
            return .deadLettered(Failure(reason: .attemptsExhausted, error: error, attempt: attempt))
        }
        // Also for a delay that the handler or a verdict asks for.
        let shortest = RetryPolicy.shortestDelay(afterAttempt: attempt)
        let delay = min(max(delay ?? retry.delay(afterAttempt: attempt), shortest), TransportLimits.maximumDelay)
        return .retried(after: delay, Failure(reason: .handlerFailed, error: error, attempt: attempt))
    }
}
