/// A state machine that assembles the frames of one channel: a method, and for some methods a header and the frames of
/// a body.
///
/// Every channel has its own, because frames of different channels are interleaved.
struct ChannelAssembler {
    /// A complete content.
    enum Content {
        case delivered(AMQPDelivery)
        case got(AMQPDelivery, remaining: Int)
        case returned(AMQPMessage, code: UInt16, text: String)
    }

    /// The error for a frame that is not allowed here.
    struct UnexpectedFrame: Error {
        var text: String
    }

    private enum State {
        case idle
        case awaitingHeader(IncomingMethod)
        case awaitingBody(IncomingMethod, AMQPProperties, body: [UInt8], missing: UInt64, refusedSize: UInt64?)
    }

    private var state = State.idle
    private let maximumBodySize: Int

    init(maximumBodySize: Int) {
        self.maximumBodySize = maximumBodySize
    }

    /// The method whose header is the next frame, or `nil` if that is another frame.
    var methodAwaitingHeader: IncomingMethod? {
        if case .awaitingHeader(let method) = state { method } else { nil }
    }

    /// Begins a method with content.
    mutating func begin(_ method: IncomingMethod) throws(UnexpectedFrame) {
        guard case .idle = state else { throw UnexpectedFrame(text: "a method before the end of a body") }
        state = .awaitingHeader(method)
    }

    mutating func header(bodySize: UInt64, _ properties: AMQPProperties) throws(UnexpectedFrame) -> Content? {
        guard case .awaitingHeader(let method) = state else {
            throw UnexpectedFrame(text: "a header without its method")
        }
        let isAccepted = bodySize <= UInt64(maximumBodySize)
        var body: [UInt8] = []
        // Grows with the received data, because the announced size cannot be trusted.
        if isAccepted { body.reserveCapacity(Int(min(bodySize, 1 << 20))) }
        if bodySize == 0 { return finish(method, properties, body, refusedSize: nil) }
        state = .awaitingBody(
            method,
            properties,
            body: body,
            missing: bodySize,
            refusedSize: isAccepted ? nil : bodySize
        )
        return nil
    }

    mutating func body(_ bytes: [UInt8]) throws(UnexpectedFrame) -> Content? {
        guard case .awaitingBody(let method, let properties, var body, let missing, let refusedSize) = state else {
            throw UnexpectedFrame(text: "a body without its header")
        }
        // Releases the buffer, so that appending does not copy it.
        state = .idle
        guard UInt64(bytes.count) <= missing else { throw UnexpectedFrame(text: "a body longer than announced") }
        if refusedSize == nil {
            if body.isEmpty && UInt64(bytes.count) == missing { body = bytes } else { body += bytes }
        }
        let rest = missing - UInt64(bytes.count)
        if rest == 0 { return finish(method, properties, body, refusedSize: refusedSize) }
        state = .awaitingBody(method, properties, body: body, missing: rest, refusedSize: refusedSize)
        return nil
    }

    private mutating func finish(
        _ method: IncomingMethod,
        _ properties: AMQPProperties,
        _ body: [UInt8],
        refusedSize: UInt64?
    ) -> Content? {
        state = .idle
        func message(_ exchange: String, _ routingKey: String) -> AMQPMessage {
            AMQPMessage(
                exchange: exchange,
                routingKey: routingKey,
                properties: properties,
                body: body,
                refusedSize: refusedSize
            )
        }
        switch method {
        case .deliver(let deliveryTag, let isRedelivered, let exchange, let routingKey):
            return .delivered(
                AMQPDelivery(
                    deliveryTag: deliveryTag,
                    isRedelivered: isRedelivered,
                    message: message(exchange, routingKey)
                )
            )
        case .got(let deliveryTag, let isRedelivered, let exchange, let routingKey, let remaining):
            let delivery = AMQPDelivery(
                deliveryTag: deliveryTag,
                isRedelivered: isRedelivered,
                message: message(exchange, routingKey)
            )
            return .got(delivery, remaining: remaining)
        case .returned(let code, let text, let exchange, let routingKey):
            return .returned(message(exchange, routingKey), code: code, text: text)
        default:
            return nil
        }
    }
}
