extension SubscriptionOptions {
    /// The purpose of a subscription: answering requests, or handling events one by one or in batches.
    enum Purpose {
        case events
        case batches(Batching)
        case requests
    }

    /// Returns the error of options that are invalid, alone or in combination, or `nil` if they are valid.
    ///
    /// - Parameter consumerTimeout: The time for which the broker waits for a settlement, or `nil` for any time.
    func validationError(of queueName: String, for purpose: Purpose, consumerTimeout: Duration?) -> EventBusError? {
        let problem = problem(for: purpose) ?? consumerTimeout.flatMap(problem(within:))
        guard let problem else { return nil }
        return EventBusError(.invalidConfiguration, "subscription \(queueName) has \(problem)")
    }

    /// Returns a description of a time that exceeds that of the broker, or `nil` if there is none.
    private func problem(within consumerTimeout: Duration) -> String? {
        let remedy =
            "after which the broker delivers the event again; give less, or raise the timeout of the broker and the "
            + "transport's consumerTimeout"
        if let ownHandlerTimeout, ownHandlerTimeout >= consumerTimeout {
            return "handlerTimeout \(ownHandlerTimeout), but a consumer timeout of \(consumerTimeout), " + remedy
        }
        if holdsRetries, Self.maximumAge(holding: maximumHold) >= consumerTimeout {
            return "maximumHold \(maximumHold), but a consumer timeout of \(consumerTimeout), " + remedy
        }
        // While it is paused, deliveries that have waited too long are found by a probe, except by key.
        if let breaker, ordering != .byPartitionKey {
            let oldest = holdsRetries ? Self.maximumAge(holding: maximumHold) : maximumHold
            if breaker.probeInterval + oldest >= consumerTimeout {
                return "a breaker with probeInterval \(breaker.probeInterval) and maximumHold \(maximumHold), but a "
                    + "consumer timeout of \(consumerTimeout), " + remedy
            }
        }
        return nil
    }

    private func problem(for purpose: Purpose) -> String? {
        if case .batches(let batching) = purpose, let problem = batching.problem(with: self) { return problem }
        if concurrency < 1 || concurrency > Int(UInt16.max) {
            return "concurrency \(concurrency); give 1 to \(UInt16.max)"
        }
        if let prefetch, prefetch < concurrency || prefetch > Int(UInt16.max) {
            return "prefetch \(prefetch) and concurrency \(concurrency); the prefetch is at least the concurrency, "
                + "because each handler needs a delivery, and at most \(UInt16.max)"
        }
        if maximumHold <= .zero {
            return "maximumHold \(maximumHold), which leaves no time for a retry; give half of the broker's consumer "
                + "timeout, or RetryPolicy.never if failed events are not to be retried"
        }
        if let limit = handlerTimeout, limit <= .zero {
            return "handlerTimeout \(limit), which leaves no time to handle anything; give nil for no limit but the "
                + "broker's"
        }
        if maximumDeferral < .zero {
            return "maximumDeferral \(maximumDeferral); give zero for events that may not be deferred"
        }
        if broadcast, !formerPatterns.isEmpty {
            return "broadcast and formerPatterns, but a broadcast subscription's queue is a new one each time and has "
                + "no former bindings; leave formerPatterns out"
        }
        if broadcast, usesInbox {
            return "broadcast and an inbox, but the instances share the inbox's records, so that only one of them "
                + "would handle each event; leave one of the two out, and give an inbox of the bus's middleware to the "
                + "other subscriptions instead"
        }
        if inboxCount > 1 {
            return "\(inboxCount) inboxes in its options, its middleware and the bus's middleware, but the inner one "
                + "would find each event in progress; leave all but one out"
        }
        if let problem = identity.problem { return problem }
        if let problem = breaker?.problem(maximumHold: maximumHold) { return problem }
        if inbox != nil, let problem = inboxOptions.validationError { return problem }
        guard case .requests = purpose else { return nil }
        if broadcast {
            return "broadcast, but each request has one answer; leave broadcast out, so that one member of the group "
                + "responds"
        }
        if usesInbox {
            return "an inbox, but a request that the inbox suppresses is never answered; leave the inbox out and make "
                + "the handler idempotent"
        }
        return nil
    }
}
