/// Suppresses events that the subscription has handled before, through an ``Inbox``.
///
/// An event that is new is claimed, handled, and recorded. One that was completed before is acknowledged without
/// running the handler. One that another consumer is handling just now is looked at again later.
public struct DeduplicationMiddleware: ConsumeMiddleware {
    private let inbox: any Inbox
    private let claimLease: Duration
    private let retention: Duration
    private let recheckInterval: Duration
    private let didSuppress: @Sendable (EventID) -> Void

    /// Deduplication through `inbox`.
    ///
    /// - Parameters:
    ///   - inbox: Where handled events are recorded.
    ///   - claimLease: For how long one handling may take before another consumer may take over.
    ///   - retention: For how long a handled event is remembered.
    ///   - recheckInterval: After how long at most to look again at an event that another consumer is handling: it will
    ///     usually be done long before its claim runs out.
    ///   - didSuppress: Called for every suppressed duplicate.
    public init(
        inbox: any Inbox,
        claimLease: Duration = .seconds(300),
        retention: Duration = .seconds(7 * 86400),
        recheckInterval: Duration = .seconds(1),
        didSuppress: @escaping @Sendable (EventID) -> Void = { _ in }
    ) {
        precondition(recheckInterval > .zero, "a recheckInterval of \(recheckInterval) would never rest")
        self.inbox = inbox
        self.claimLease = claimLease
        self.retention = retention
        self.recheckInterval = recheckInterval
        self.didSuppress = didSuppress
    }

    /// Runs the handler if the event is new to the subscription.
    public func consume(
        _ context: EventContext,
        next: ConsumeNext
    ) async throws {
        let key = context.subscription.queueName
        switch try await inbox.begin(context.id, subscription: key, lease: claimLease) {
        case .completed:
            didSuppress(context.id)
        case .inProgress(let retryAfter):
            throw DeferredDelivery(after: min(retryAfter, recheckInterval))
        case .new(let claim):
            do {
                try await next(context)
            } catch {
                // The claim runs out by itself if this fails; the handler's error is what counts.
                try? await withoutCancellation { [inbox] in try await inbox.abandon(claim) }
                throw error
            }
            let inbox = inbox
            let retention = retention
            try await withoutCancellation { try await inbox.complete(claim, retention: retention) }
        }
    }
}

/// Thrown to have a delivery come again later, as the same attempt.
package struct DeferredDelivery: Error {
    package var after: Duration

    package init(after: Duration) {
        self.after = after
    }
}
