internal import Logging

/// Middleware that suppresses events that the subscription has already handled, through an ``Inbox``.
///
/// ```swift
/// var options = SubscriptionOptions()
/// options.middleware = [DeduplicationMiddleware(inbox: inbox, didSuppress: { key in print("suppressed \(key)") })]
/// ```
///
/// A new event is claimed, handled, and recorded. An event that was completed before is acknowledged without running
/// the handler, counted and logged. An event that another consumer is handling is checked again later, and becomes a dead
/// letter if that never ends (``Failure/Reason/inProgress``).
///
/// A claim is renewed while its handler runs. If the handler was cancelled, because its time limit has passed or its
/// delivery was revoked, and has not ended after another ``InboxOptions/lease``, the claim is left to expire.
///
/// While the inbox cannot be reached, the subscription pauses: its deliveries stay unacknowledged, one at a time asks
/// the inbox again with backoff, and no attempt counts.
///
/// After an error the step also asks for an event that does not exist, and abandons the claim on it. If the inbox
/// answers, the error belongs to the one event, which is deferred (``SubscriptionOptions/maximumDeferral``).
///
/// After the handler has returned, the effect has happened. The record is therefore retried until the claim ends, and
/// the event is acknowledged in any case. An effect that could not be recorded is counted and logged as a warning.
///
/// The step waits for an inbox that does not answer until the claim ends, and no longer.
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
    private let check: InboxCheck

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
        self.check = InboxCheck(inbox: inbox, lease: options.lease)
    }

    /// Lets the inbox measure by the clock of a bus that uses the step.
    func adopt(_ clock: AnyClock) {
        (inbox as? any ClockedInbox)?.adopt(clock)
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
        context.uncountedError = nil
        do {
            try await consume(context, claiming: next)
        } catch let error as any UncountedError {
            context.uncountedError = error
            throw error
        }
    }

    private func consume(_ context: EventContext, claiming next: ConsumeNext) async throws {
        let start = context.clock.now
        let decision: InboxDecision
        do {
            decision = try await begin(context)
        } catch {
            // A paused subscription is asked about by its probe.
            let isKnown = context.isPaused && !context.isProbe
            if isKnown || context.isGivenUp { throw error }
            context.isAskingInbox = true
            context.worker.isFinishing = true
            defer {
                context.isAskingInbox = false
                context.worker.isFinishing = false
            }
            guard await check.inboxAnswers(context) else { throw error }
            context.noteInboxAnswer()
            throw OwnInboxError(underlying: error.underlying)
        }
        context.noteInboxAnswer()
        switch decision {
        case .completed, .completedWithOtherPayload:
            context.noteSuppression(decision)
            didSuppress(context.inboxKey)
        case .inProgress(let retryAfter):
            throw DeferredDelivery(
                after: max(.milliseconds(1), min(retryAfter, options.recheckInterval)),
                lease: options.lease,
                event: context.id
            )
        case .new(let claim):
            let number = renewer.add(claim, since: start, handling: context)
            do {
                try await next(context)
            } catch {
                // If this fails the claim expires by itself. The handler's error is the one to throw.
                _ = await finish(number, context) { [inbox] _ in
                    try? await inbox.abandon(claim)
                    return nil
                }
                throw error
            }
            let error = await finish(number, context, { await record(claim, until: $0, context) })
            context.worker.recordError = nil
            guard let error else { return }
            context.isUnrecorded = true
            context.logger.warning(
                "effect without record: the event was handled, but the inbox could not record it",
                metadata: [LogKeys.error: "\(String(loggable: error))"]
            )
        }
    }

    /// Requests a claim, and waits for the answer for no longer than the claim would last.
    private func begin(_ context: EventContext) async throws(InboxUnavailable) -> InboxDecision {
        context.isAskingInbox = true
        let previousDeadline = context.worker.arm(max(options.lease, .seconds(1)))
        defer {
            context.worker.disarm(restoring: previousDeadline)
            context.isAskingInbox = false
        }
        do {
            let decision = try await renewer.begin(context.inboxKey)
            if !context.worker.isExpired { return decision }
            if case .new(let claim) = decision {
                renewer.leave(claim)
                // In a separate task, because this one is cancelled. If this fails, the claim expires.
                Task { [inbox] in try? await inbox.abandon(claim) }
            }
        } catch let error where !(error is CancellationError) {
            throw InboxUnavailable(underlying: error)
        } catch {
            // The time limit cancelled the call.
        }
        throw InboxUnavailable(underlying: EventBusError(.timedOut, "the inbox did not answer in time"))
    }

    /// Makes the last calls about a claim, shielded from cancellation, and waits for them until the claim ends. The handler
    /// has ended, so its time limit does not apply to them.
    ///
    /// - Parameter calls: The calls. Their argument is the end of the claim, or `nil` if the claim was lost.
    /// - Returns: The error of `calls`, or the error for an inbox that did not answer.
    private func finish(
        _ number: UInt64,
        _ context: EventContext,
        _ calls: @escaping @Sendable (AnyClock.Instant?) async -> (any Error)?
    ) async -> (any Error)? {
        let suspension = context.worker.suspendDeadline(forOthers: false)
        defer { context.worker.resumeDeadline(suspension) }
        let outcome = OneShot<(any Error)?>()
        let end = renewer.finish(number, context.clock) {
            outcome.resolve(EventBusError(.timedOut, "the inbox did not answer before the claim ended"))
        }
        context.worker.isFinishing = true
        defer { context.worker.isFinishing = false }
        // A separate task is the shield, because cancellation does not reach it.
        let task = Task { outcome.resolve(await calls(end)) }
        let error = await outcome.wait(onCancel: {})
        renewer.remove(number)
        // A call without an answer is abandoned.
        if error != nil { task.cancel() }
        return error
    }

    /// Records the effect, with as many attempts as necessary until the claim ends.
    ///
    /// - Returns: The last error, if the effect could not be recorded.
    private func record(
        _ claim: InboxClaim,
        until end: AnyClock.Instant?,
        _ context: EventContext
    ) async -> (any Error)? {
        var attempt = 1
        while true {
            do {
                try await inbox.complete(claim, retention: options.retention)
                return nil
            } catch {
                let delay = Self.recordRetry.delay(afterAttempt: attempt)
                let due = context.clock.now.advanced(by: delay)
                let isReplaced = (error as? EventBusError)?.code == .leaseExpired
                guard !isReplaced, let end, due < end else { return error }
                context.worker.recordError = String(loggable: error)
                guard await context.waitToRecord(until: due) else { return error }
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

/// An error of the inbox for one event, while it answers for others.
struct OwnInboxError: UncountedError {
    var underlying: any Error
}
