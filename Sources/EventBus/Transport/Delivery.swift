/// One arrival of an envelope at a group.
///
/// It is a class because it is passed on several times for each event and never changes.
public final class Delivery: Sendable {
    /// The transport's identity of a delivery: the connection and the delivery within it.
    public struct Token: Hashable, Sendable {
        /// The number of the connection, which grows with every connection. Tokens of earlier connections are stale.
        public var generation: UInt64
        /// The transport's number for the delivery within the connection.
        public var number: UInt64

        /// Creates a token. It is called by transports only.
        public init(generation: UInt64, number: UInt64) {
            self.generation = generation
            self.number = number
        }
    }

    /// The event as it arrived, with the id that the subscription has derived (``SubscriptionOptions/identity``).
    public let envelope: Envelope
    /// The number of this attempt to handle the event, from 1. Only failed attempts count.
    public let attempt: Int
    /// The number of redeliveries because a consumer vanished with the event. Unrelated events that were prefetched by
    /// a crashed consumer count too.
    public let redeliveries: Int
    /// The total time for which the event has been deferred since its last attempt, because only a newer release could
    /// handle it, a store or broker was unreachable, or another consumer had claimed it.
    public let deferredFor: Duration
    /// The time at which the first attempt failed, or `nil` if none has failed or the transport does not know it.
    public let firstFailure: EventTime?
    /// The address for the reply if the event is a request, and `nil` otherwise.
    public let replyAddress: ReplyAddress?
    /// The transport's identity of the delivery.
    public let token: Token
    /// The failure that a broker under test injects into the handler.
    package let injectedFault: InjectedFault?
    /// A Boolean value indicating whether the event has no id of its own, so that its id is a digest of its content. Equal
    /// events have the same one.
    public let hasContentID: Bool
    /// The event's own id if the subscription has derived another one, and `nil` otherwise.
    private let ownID: EventID?

    /// Creates a delivery. It is called by transports only.
    public convenience init(
        envelope: Envelope,
        attempt: Int,
        redeliveries: Int = 0,
        deferredFor: Duration = .zero,
        firstFailure: EventTime? = nil,
        replyAddress: ReplyAddress? = nil,
        hasContentID: Bool = false,
        token: Token
    ) {
        self.init(
            envelope: envelope,
            attempt: attempt,
            redeliveries: redeliveries,
            deferredFor: deferredFor,
            firstFailure: firstFailure,
            replyAddress: replyAddress,
            token: token,
            injectedFault: nil,
            hasContentID: hasContentID
        )
    }

    package init(
        envelope: Envelope,
        attempt: Int,
        redeliveries: Int,
        deferredFor: Duration,
        firstFailure: EventTime?,
        replyAddress: ReplyAddress?,
        token: Token,
        injectedFault: InjectedFault?,
        hasContentID: Bool = false,
        ownID: EventID? = nil
    ) {
        self.envelope = envelope
        self.attempt = attempt
        self.redeliveries = redeliveries
        self.deferredFor = deferredFor
        self.firstFailure = firstFailure
        self.replyAddress = replyAddress
        self.token = token
        self.injectedFault = injectedFault
        self.hasContentID = hasContentID
        self.ownID = ownID
    }
}

extension Delivery {
    /// The event's id as it arrived.
    var receivedID: EventID { ownID ?? envelope.id }

    /// A Boolean value indicating whether the subscription has derived the event's id.
    var isIdentified: Bool { ownID != nil }

    /// Returns the delivery with an id that the subscription has derived.
    func identified(as id: EventID) -> Delivery {
        var envelope = envelope
        envelope.id = id
        return copy(with: envelope, ownID: receivedID)
    }

    /// Returns the same delivery of an event in another form.
    func replacing(_ envelope: Envelope) -> Delivery { copy(with: envelope, ownID: ownID) }

    private func copy(with envelope: Envelope, ownID: EventID?) -> Delivery {
        Delivery(
            envelope: envelope,
            attempt: attempt,
            redeliveries: redeliveries,
            deferredFor: deferredFor,
            firstFailure: firstFailure,
            replyAddress: replyAddress,
            token: token,
            injectedFault: injectedFault,
            hasContentID: hasContentID && ownID == nil,
            ownID: ownID
        )
    }
}
