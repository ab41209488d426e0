/// One arrival of an envelope at a group.
///
/// A reference, since it passes through several hands for each event and is never changed.
public final class Delivery: Sendable {
    /// The transport's handle: which delivery of which connection.
    public struct Token: Hashable, Sendable {
        /// Rises with every connection; a token of an earlier one is stale.
        public var generation: UInt64
        /// The transport's number for the delivery within the connection.
        public var number: UInt64

        /// A token; made by transports only.
        public init(generation: UInt64, number: UInt64) {
            self.generation = generation
            self.number = number
        }
    }

    /// The event as it came.
    public let envelope: Envelope
    /// Which attempt at handling this is, from 1; only failed attempts count.
    public let attempt: Int
    /// How often the broker delivered the event again because a consumer vanished with it. Innocent events that were
    /// prefetched by a crashed consumer count too.
    public let redeliveries: Int
    /// How long the event has been deferred since its last attempt, because only a newer release could handle it or a
    /// store or broker was away: the sum of the delays.
    public let deferredFor: Duration
    /// Where the reply goes, if the event is a request.
    public let replyAddress: ReplyAddress?
    /// The transport's handle.
    public let token: Token
    /// A failure that a broker under test wants the handler to have.
    package let injectedFault: InjectedFault?

    /// A delivery; made by transports only.
    public convenience init(
        envelope: Envelope,
        attempt: Int,
        redeliveries: Int = 0,
        deferredFor: Duration = .zero,
        replyAddress: ReplyAddress? = nil,
        token: Token
    ) {
        self.init(
            envelope: envelope,
            attempt: attempt,
            redeliveries: redeliveries,
            deferredFor: deferredFor,
            replyAddress: replyAddress,
            token: token,
            injectedFault: nil
        )
    }

    package init(
        envelope: Envelope,
        attempt: Int,
        redeliveries: Int,
        deferredFor: Duration,
        replyAddress: ReplyAddress?,
        token: Token,
        injectedFault: InjectedFault?
    ) {
        self.envelope = envelope
        self.attempt = attempt
        self.redeliveries = redeliveries
        self.deferredFor = deferredFor
        self.replyAddress = replyAddress
        self.token = token
        self.injectedFault = injectedFault
    }
}

/// A failure that a broker under test makes a handler have.
package enum InjectedFault: Error, Hashable, Sendable {
    /// The handler fails before it did anything.
    case crashBeforeHandler
    /// The handler did its work and fails then, before an inbox has recorded it.
    case crashAfterHandler
    /// The handler did its work, an inbox has recorded it, and the delivery fails before it is acknowledged.
    case crashAfterRecord
}
