/// One frame from the broker, copied out of the library's memory.
enum IncomingFrame {
    case method(IncomingMethod)
    case header(bodySize: UInt64, AMQPProperties)
    case body([UInt8])
    /// A frame of an unknown kind.
    case unknown
}

/// The result of reading a frame.
enum FrameReading {
    case frame(channel: UInt16, IncomingFrame)
    /// No frame is available.
    case nothing
    case failed(AMQPFailure)
    /// The library does not understand the next frame, or it is too large. Nothing more can be read, but the connection
    /// can still be written to.
    case unreadable(AMQPFailure)
}

/// A method from the broker.
enum IncomingMethod {
    /// The reply to the channel's oldest unanswered call.
    case reply(AMQPReply)
    case deliver(deliveryTag: UInt64, isRedelivered: Bool, exchange: String, routingKey: String)
    case returned(code: UInt16, text: String, exchange: String, routingKey: String)
    case got(deliveryTag: UInt64, isRedelivered: Bool, exchange: String, routingKey: String, remaining: Int)
    case confirmed(tag: UInt64, multiple: Bool, isAcknowledged: Bool)
    case consumerCancelled(tag: String)
    case channelClose(code: UInt16, text: String)
    case connectionClose(code: UInt16, text: String)
    case connectionCloseOK
    case blocked(reason: String)
    case unblocked
    case unknown(UInt32)
}
