import CRabbitMQ
import EventBus
import Glibc

/// One connection of librabbitmq, used as a codec and a socket. Nothing here waits for the broker.
///
/// The library is not thread-safe. A handle is created by the thread that logs in. Then it belongs to one connection,
/// which uses it on its own thread only.
// Safe because two threads never use it at once, see above. It is Sendable to be handed over once.
final class AMQPHandle: @unchecked Sendable {
    let state: amqp_connection_state_t
    private let arena = Arena()

    init() throws(AMQPFailure) {
        guard let state = amqp_new_connection() else { throw AMQPFailure(.connectFailed, "out of memory") }
        self.state = state
    }

    deinit {
        // This also closes the socket, without notifying the broker.
        amqp_destroy_connection(state)
    }

    var descriptor: Int32 { amqp_get_sockfd(state) }
    /// The negotiated maximum size of a frame that is sent.
    private(set) var frameMaximum = LoginParameters.frameMaximum
    var heartbeat: Int { Int(amqp_get_heartbeat(state)) }
    var channelMaximum: UInt16 { UInt16(clamping: amqp_get_channel_max(state)) }

    /// A Boolean value indicating whether frames wait in the library's memory, which `poll` does not see.
    var hasBufferedInput: Bool { amqp_frames_enqueued(state) != 0 || amqp_data_in_buffer(state) != 0 }

    /// The broker's release, such as `3.10.8`, or an empty text if it did not tell.
    var brokerVersion: String {
        guard let table = amqp_get_server_properties(state) else { return "" }
        var decoder = HeaderDecoder()
        return decoder.values(of: table.pointee)["version"]?.string ?? ""
    }

    static func failure(_ status: Int32) -> AMQPFailure {
        let text = String(cString: amqp_error_string2(status))
        return AMQPFailure(.connectionLost, text, isTimeout: isTimeout(status))
    }

    /// Returns a Boolean value indicating whether a status of the library means that the broker did not answer in time.
    static func isTimeout(_ status: Int32) -> Bool {
        status == AMQP_STATUS_TIMEOUT.rawValue || status == AMQP_STATUS_HEARTBEAT_TIMEOUT.rawValue
    }

    private func check(_ status: Int32) throws(AMQPFailure) {
        if status < 0 { throw Self.failure(status) }
    }

    // MARK: Sending

    private func send<Method>(_ id: amqp_method_number_t, _ method: Method, on channel: UInt16) throws(AMQPFailure) {
        var method = method
        let status = withUnsafeMutablePointer(to: &method) { amqp_send_method(state, channel, id, $0) }
        arena.reset()
        try check(status)
    }

    func send(_ call: AMQPCall, on channel: UInt16) throws(AMQPFailure) {
        switch call {
        case .channelOpen:
            try send(AMQP_CHANNEL_OPEN_METHOD, amqp_channel_open_t(), on: channel)
        case .channelClose:
            var method = amqp_channel_close_t()
            method.reply_code = UInt16(AMQP_REPLY_SUCCESS)
            try send(AMQP_CHANNEL_CLOSE_METHOD, method, on: channel)
        case .confirmSelect:
            try send(AMQP_CONFIRM_SELECT_METHOD, amqp_confirm_select_t(), on: channel)
        case .exchangeDeclare(let name, let type, let isPassive, let arguments):
            var method = amqp_exchange_declare_t()
            method.exchange = arena.bytes(name)
            method.type = arena.bytes(type)
            method.passive = isPassive ? 1 : 0
            method.durable = 1
            method.arguments = arena.table(HeaderTable(arguments))
            try send(AMQP_EXCHANGE_DECLARE_METHOD, method, on: channel)
        case .exchangeDelete(let name):
            var method = amqp_exchange_delete_t()
            method.exchange = arena.bytes(name)
            try send(AMQP_EXCHANGE_DELETE_METHOD, method, on: channel)
        case .exchangeBind(let source, let destination, let routingKey):
            var method = amqp_exchange_bind_t()
            method.source = arena.bytes(source)
            method.destination = arena.bytes(destination)
            method.routing_key = arena.bytes(routingKey)
            try send(AMQP_EXCHANGE_BIND_METHOD, method, on: channel)
        case .queueDeclare(let queue):
            var method = amqp_queue_declare_t()
            method.queue = arena.bytes(queue.name)
            method.passive = queue.isPassive ? 1 : 0
            method.durable = queue.isDurable ? 1 : 0
            method.exclusive = queue.isExclusive ? 1 : 0
            method.auto_delete = queue.isAutoDeleted ? 1 : 0
            method.arguments = arena.table(HeaderTable(queue.arguments))
            try send(AMQP_QUEUE_DECLARE_METHOD, method, on: channel)
        case .queueDelete(let name):
            var method = amqp_queue_delete_t()
            method.queue = arena.bytes(name)
            try send(AMQP_QUEUE_DELETE_METHOD, method, on: channel)
        case .queueBind(let queue, let exchange, let routingKey):
            var method = amqp_queue_bind_t()
            method.queue = arena.bytes(queue)
            method.exchange = arena.bytes(exchange)
            method.routing_key = arena.bytes(routingKey)
            try send(AMQP_QUEUE_BIND_METHOD, method, on: channel)
        case .queueUnbind(let queue, let exchange, let routingKey):
            var method = amqp_queue_unbind_t()
            method.queue = arena.bytes(queue)
            method.exchange = arena.bytes(exchange)
            method.routing_key = arena.bytes(routingKey)
            try send(AMQP_QUEUE_UNBIND_METHOD, method, on: channel)
        case .queuePurge(let name):
            var method = amqp_queue_purge_t()
            method.queue = arena.bytes(name)
            try send(AMQP_QUEUE_PURGE_METHOD, method, on: channel)
        case .basicQos(let prefetch):
            var method = amqp_basic_qos_t()
            method.prefetch_count = prefetch
            try send(AMQP_BASIC_QOS_METHOD, method, on: channel)
        case .basicConsume(let queue, let tag, let isAutoAcknowledged, let arguments):
            var method = amqp_basic_consume_t()
            method.queue = arena.bytes(queue)
            method.consumer_tag = arena.bytes(tag)
            method.no_ack = isAutoAcknowledged ? 1 : 0
            method.arguments = arena.table(HeaderTable(arguments))
            try send(AMQP_BASIC_CONSUME_METHOD, method, on: channel)
        case .basicCancel(let tag):
            var method = amqp_basic_cancel_t()
            method.consumer_tag = arena.bytes(tag)
            try send(AMQP_BASIC_CANCEL_METHOD, method, on: channel)
        case .basicGet(let queue):
            var method = amqp_basic_get_t()
            method.queue = arena.bytes(queue)
            try send(AMQP_BASIC_GET_METHOD, method, on: channel)
        }
    }

    func sendAcknowledgement(_ tag: UInt64, multiple: Bool, on channel: UInt16) throws(AMQPFailure) {
        try check(amqp_basic_ack(state, channel, tag, multiple ? 1 : 0))
    }

    /// Returns a delivery to its queue. Newer brokers do not count that against the queue's delivery limit, as they do
    /// for a reject.
    func sendRequeue(_ tag: UInt64, on channel: UInt16) throws(AMQPFailure) {
        try check(amqp_basic_nack(state, channel, tag, 0, 1))
    }

    /// Rejects a delivery permanently, which sends it to the queue's dead-letter exchange.
    func sendReject(_ tag: UInt64, on channel: UInt16) throws(AMQPFailure) {
        try check(amqp_basic_reject(state, channel, tag, 0))
    }

    func sendChannelCloseOK(on channel: UInt16) throws(AMQPFailure) {
        try send(AMQP_CHANNEL_CLOSE_OK_METHOD, amqp_channel_close_ok_t(), on: channel)
    }

    func sendConnectionCloseOK() throws(AMQPFailure) {
        try send(AMQP_CONNECTION_CLOSE_OK_METHOD, amqp_connection_close_ok_t(), on: 0)
    }

    func sendConnectionClose() throws(AMQPFailure) {
        var method = amqp_connection_close_t()
        method.reply_code = UInt16(AMQP_REPLY_SUCCESS)
        method.reply_text = arena.bytes("closed by the client")
        try send(AMQP_CONNECTION_CLOSE_METHOD, method, on: 0)
    }

    /// The size of the largest body that is sent in one frame. It is one less than would fit: a body that fills its
    /// frames exactly must be sent with ``sendHead(of:on:)`` and ``sendBody(_:on:)``, because the library would leave
    /// the socket waiting for more.
    var maximumBodyInOneFrame: Int { frameMaximum - 9 }

    /// Sends the method, the header and a body of at most ``maximumBodyInOneFrame``.
    func sendWhole(_ publish: AMQPPublish, on channel: UInt16) throws(AMQPFailure) {
        var properties = publish.properties.encoded(in: arena)
        let status = publish.body.withUnsafeBytes { body in
            amqp_basic_publish(
                state,
                channel,
                arena.bytes(publish.exchange),
                arena.bytes(publish.routingKey),
                publish.isMandatory ? 1 : 0,
                0,
                &properties,
                // The library only reads the body.
                amqp_bytes_t(len: body.count, bytes: UnsafeMutableRawPointer(mutating: body.baseAddress))
            )
        }
        arena.reset()
        try check(status)
    }

    /// Sends the method and the header. The body follows in frames.
    func sendHead(of publish: AMQPPublish, on channel: UInt16) throws(AMQPFailure) {
        var method = amqp_basic_publish_t()
        method.exchange = arena.bytes(publish.exchange)
        method.routing_key = arena.bytes(publish.routingKey)
        method.mandatory = publish.isMandatory ? 1 : 0
        var status = withUnsafeMutablePointer(to: &method) {
            amqp_send_method(state, channel, AMQP_BASIC_PUBLISH_METHOD, $0)
        }
        if status >= 0 {
            var properties = publish.properties.encoded(in: arena)
            status = withUnsafeMutablePointer(to: &properties) { properties in
                var frame = amqp_frame_t()
                frame.frame_type = UInt8(AMQP_FRAME_HEADER)
                frame.channel = channel
                frame.payload.properties.class_id = UInt16(AMQP_BASIC_CLASS)
                frame.payload.properties.body_size = UInt64(publish.body.count)
                frame.payload.properties.decoded = UnsafeMutableRawPointer(properties)
                return amqp_send_frame(state, &frame)
            }
        }
        arena.reset()
        try check(status)
    }

    /// Sends one frame of a body. `bytes` has at most ``frameMaximum`` − 8 bytes.
    func sendBody(_ bytes: ArraySlice<UInt8>, on channel: UInt16) throws(AMQPFailure) {
        let status = bytes.withUnsafeBytes { bytes in
            var frame = amqp_frame_t()
            frame.frame_type = UInt8(AMQP_FRAME_BODY)
            frame.channel = channel
            frame.payload.body_fragment = amqp_bytes_t(
                len: bytes.count,
                bytes: UnsafeMutableRawPointer(mutating: bytes.baseAddress)
            )
            return amqp_send_frame(state, &frame)
        }
        try check(status)
    }

    // MARK: Receiving

    /// The number of bytes by which a received frame may exceed the negotiated maximum.
    ///
    /// RabbitMQ checks the headers of an event when it is published. It does not check them again when it delivers the
    /// event with its own headers: the count of redeliveries and, for each queue that has dead-lettered the event, an
    /// entry with all routing keys. The delays of one retry lead through up to 20 queues, with less than 1 KiB for each.
    static let frameReserve = 128 << 10

    /// The reserve of a connection that reads any event, for example of clients with larger frames. It is too large for
    /// a connection with many channels, because the library allocates memory of the size of a frame for each.
    static let largeFrameReserve = 2 << 20
    /// The size of the stack of a thread that reads with ``largeFrameReserve``. For each array within another, which takes
    /// up 5 bytes of a frame, the library needs about 100 bytes of the stack.
    static let largeFrameStackSize = 128 << 20

    /// Accepts frames that are larger than the negotiated ones by `reserve` bytes.
    ///
    /// The library has one limit for both directions. What is sent is checked before, against ``frameMaximum``.
    func acceptFrames(largerBy reserve: Int) throws(AMQPFailure) {
        frameMaximum = Int(amqp_get_frame_max(state))
        // The library aborts the process if a part of a frame has been read.
        guard amqp_release_buffers_ok(state) != 0 else { return }
        let limit = Int32(clamping: frameMaximum + reserve)
        try check(amqp_tune_connection(state, amqp_get_channel_max(state), limit, amqp_get_heartbeat(state)))
    }

    /// Reads the next available frame and serves the heartbeats, without waiting.
    func readFrame() -> FrameReading {
        var frame = amqp_frame_t()
        var zero = timeval(tv_sec: 0, tv_usec: 0)
        let status = amqp_simple_wait_frame_noblock(state, &frame, &zero)
        if status == AMQP_STATUS_TIMEOUT.rawValue { return .nothing }
        if status == AMQP_STATUS_BAD_AMQP_DATA.rawValue { return .unreadable(Self.failure(status)) }
        guard status == AMQP_STATUS_OK.rawValue else { return .failed(Self.failure(status)) }
        // Everything below copies, so that the frame's memory can be released immediately.
        defer { amqp_maybe_release_buffers_on_channel(state, frame.channel) }
        switch Int32(frame.frame_type) {
        case AMQP_FRAME_METHOD:
            return .frame(channel: frame.channel, .method(IncomingMethod(frame.payload.method)))
        case AMQP_FRAME_HEADER:
            let properties = frame.payload.properties
            guard properties.class_id == UInt16(AMQP_BASIC_CLASS), let decoded = properties.decoded else {
                return .frame(channel: frame.channel, .unknown)
            }
            return .frame(
                channel: frame.channel,
                .header(
                    bodySize: properties.body_size,
                    AMQPProperties(decoded.assumingMemoryBound(to: amqp_basic_properties_t.self).pointee)
                )
            )
        case AMQP_FRAME_BODY:
            return .frame(channel: frame.channel, .body([UInt8](copying: frame.payload.body_fragment)))
        default:
            return .frame(channel: frame.channel, .unknown)
        }
    }
}
