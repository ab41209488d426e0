/// A message from the broker: a delivery, a returned event, or the reply to a get.
struct AMQPMessage: Sendable {
    var exchange: String
    var routingKey: String
    var properties: AMQPProperties
    var body: [UInt8]
    /// The announced size if it exceeds the accepted size, in which case the body is empty.
    var refusedSize: UInt64?
}

/// A delivery with the data that its consumer needs to settle it.
struct AMQPDelivery: Sendable {
    var deliveryTag: UInt64
    var isRedelivered: Bool
    var message: AMQPMessage
}

/// An unsolicited event on a channel.
enum ChannelEvent: Sendable {
    case delivered(AMQPDelivery)
    case returned(AMQPMessage, code: UInt16, text: String)
    case confirmed(tag: UInt64, multiple: Bool, isAcknowledged: Bool)
    /// A delivery whose headers cannot be read. The connection ends when this has been handled.
    case unreadable(deliveryTag: UInt64, isRedelivered: Bool)
    /// The broker cancelled a consumer, for example because its queue was deleted.
    case consumerCancelled(tag: String)
    /// The channel is closed, and its number may be reused.
    case closed(AMQPFailure)
}

/// An event that concerns a whole connection.
enum ConnectionEvent: Sendable {
    /// The broker currently accepts no events.
    case blocked(reason: String)
    case unblocked
    /// There is room to send again, after a send was refused for lack of room.
    case writable
}
