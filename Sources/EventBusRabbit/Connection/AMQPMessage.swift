/// What the broker sent: a delivery, a returned event or the answer to a get.
struct AMQPMessage: Sendable {
    var exchange: String
    var routingKey: String
    var properties: AMQPProperties
    var body: [UInt8]
    /// The size that the broker announced, if it is beyond what is accepted; the body is empty then.
    var refusedSize: UInt64?
}

/// A delivery with what its consumer needs to settle it.
struct AMQPDelivery: Sendable {
    var deliveryTag: UInt64
    var isRedelivered: Bool
    var message: AMQPMessage
}

/// What happens on a channel without being asked for.
enum ChannelEvent: Sendable {
    case delivered(AMQPDelivery)
    case returned(AMQPMessage, code: UInt16, text: String)
    case confirmed(tag: UInt64, multiple: Bool, isAcknowledged: Bool)
    /// The broker ended a consumer, as when its queue was deleted.
    case consumerCancelled(tag: String)
    /// The channel is gone; its number may be used again.
    case closed(AMQPFailure)
}

/// What happens to a connection as a whole.
enum ConnectionEvent: Sendable {
    /// The broker takes no more events for the time being.
    case blocked(reason: String)
    case unblocked
    /// There is room to send again, after a send was refused for want of it.
    case writable
}
