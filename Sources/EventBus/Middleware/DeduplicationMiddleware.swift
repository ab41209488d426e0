internal import Logging

/// Middleware that suppresses events that the subscription has already handled, through an ``Inbox``.
///
/// ```swift
/// var options = SubscriptionOptions()
/// options.middleware = [DeduplicationMiddleware(inbox: inbox, didSuppress: { key in print("suppressed \(key)") })]
/// ```
///
/// A new event is claimed, handled, and recorded. An event that was completed before is acknowledged without running
/// the handler, counted and logged. An event that another consumer is handling is checked again later.
///
/// While the inbox cannot be reached, the subscription pauses: its deliveries stay unacknowledged, one at a time asks
/// the inbox again with backoff, and no attempt counts.
///
/// After the handler has returned, the effect has happened. The record is therefore retried until the claim ends, and
/// the event is acknowledged in any case. An effect that could not be recorded is counted and logged as a warning.
///
/// Set ``SubscriptionOptions/inbox`` to add this step to a subscription. Add it to ``SubscriptionOptions/middleware``
/// yourself only to be notified of suppressed duplicates.
public struct DeduplicationMiddleware: ConsumeMiddleware {
    /// The delays between attempts to record an effect. The first ones are short, because most outages are.
    private static let recordRetry = RetryPolicy(initial: .milliseconds(50), maximum: .seconds(2))

    private let inbox: any Inbox
    private let options: InboxOptions
    private let didSuppress: @Sendable (InboxKey) -> Void
    private let renewer: ClaimRenewer

    /// Creates a step that suppresses duplicates through `inbox`.
    ///
    /// - Parameters:
    ///   - inbox: The store of handled events.
    ///   - options: The settings of the inbox. Invalid values are clamped.
    ///   - didSuppress: A closure that is called for every suppressed duplicate.
    public init(
        inbox: any Inbox,
        options: InboxOptions = .init(),
        didSuppress: @escaping @Sendable (InboxKey) -> Void = { _ in }
    ) {
        let options = options.clamped
        self.inbox = inbox
        self.options = options
        self.didSuppress = didSuppress
        self.renewer = ClaimRenewer(inbox: inbox, lease: options.lease)
    }

    /// Returns a step for one subscription, which renews that subscription's claims.
    public func prepared(for subscription: SubscriptionInfo) -> any ConsumeMiddleware {
        DeduplicationMiddleware(inbox: inbox, options: options, didSuppress: didSuppress)
    }

    /// Runs the handler if the event is new to the subscription.
    public func consume(
        _ context: EventContext,
        next: ConsumeNext
    ) async throws {
        let start = context.clock.now
        let decision: InboxDecision
        do {
            decision = try await inbox.begin(context.inboxKey, lease: options.lease)
        } catch let error as CancellationError {
            throw InboxUnavailable(
                underlying: EventBusError(.timedOut, "the inbox did not answer in time", underlying: error)
            )
        } catch {
            throw InboxUnavailable(underlying: error)
        }
        context.noteInboxAnswer()
        switch decision {
        case .completed:
            context.isSuppressedDuplicate = true
            context.logger.info("duplicate suppressed")
            didSuppress(context.inboxKey)
        case .inProgress(let retryAfter):
            throw DeferredDelivery(after: max(.milliseconds(1), min(retryAfter, options.recheckInterval)))
        case .new(let claim):
            let number = renewer.add(claim, since: start, handling: context)
            do {
                try await next(context)
            } catch {
                context.disarmDeadline()
                _ = renewer.remove(number)
                // If this fails the claim expires by itself. The handler's error is the one to throw.
                try? await withoutCancellation { [inbox] in try await inbox.abandon(claim) }
                throw error
            }
            // The handler has returned, so its time limit does not apply to the record.
            context.disarmDeadline()
            let end = renewer.remove(number) ?? start
            await withoutCancellation { await record(claim, until: end, context) }
        }
    }

    /// Records the effect, with as many attempts as necessary until the claim ends.
    private func record(_ claim: InboxClaim, until end: AnyClock.Instant, _ context: EventContext) async {
        var generator = SystemRandomNumberGenerator()
        var attempt = 1
        while true {
            do {
                return try await inbox.complete(claim, retention: options.retention)
            } catch {
                let delay = Self.recordRetry.delay(afterAttempt: attempt, using: &generator)
                let due = context.clock.now.advanced(by: delay)
                let isReplaced = (error as? EventBusError)?.code == .leaseExpired
                guard !isReplaced, due < end, await context.waitToRecord(until: due) else {
                    context.isUnrecorded = true
                    context.logger.warning(
                        "effect without record: the event was handled, but the inbox does not know it",
                        metadata: [LogKeys.error: "\("\(error)".printable)"]
                    )
                    return
                }
                attempt += 1
            }
        }
    }
}

/// An error after which a delivery counts neither as handled nor as failed.
protocol UncountedError: Error {}

/// An error that pauses the subscription because its inbox could not be reached.
struct InboxUnavailable: UncountedError {
    var underlying: any Error
}

/// An error that causes a later redelivery as the same attempt.
package struct DeferredDelivery: UncountedError {
    package var after: Duration

    package init(after: Duration) {
        self.after = after
    }
}
