import CRabbitMQ
import EventBus

extension AMQPProperties {
    /// Copies the properties out of the library's memory.
    init(_ properties: amqp_basic_properties_t) {
        let flags = properties._flags
        func has(_ flag: Int32) -> Bool { flags & amqp_flags_t(bitPattern: flag) != 0 }
        var isLossless = true
        func text(_ flag: Int32, _ bytes: amqp_bytes_t, isIdentifier: Bool = false) -> String? {
            guard has(flag) else { return nil }
            if let text = String(exactly: bytes) { return text }
            isLossless = false
            return isIdentifier ? String(identifier: bytes) : String(lossy: bytes)
        }
        self.init()
        contentType = text(AMQP_BASIC_CONTENT_TYPE_FLAG, properties.content_type)
        contentEncoding = text(AMQP_BASIC_CONTENT_ENCODING_FLAG, properties.content_encoding)
        correlationID = text(AMQP_BASIC_CORRELATION_ID_FLAG, properties.correlation_id, isIdentifier: true)
        replyTo = text(AMQP_BASIC_REPLY_TO_FLAG, properties.reply_to)
        messageID = text(AMQP_BASIC_MESSAGE_ID_FLAG, properties.message_id, isIdentifier: true)
        type = text(AMQP_BASIC_TYPE_FLAG, properties.type)
        appID = text(AMQP_BASIC_APP_ID_FLAG, properties.app_id)
        if has(AMQP_BASIC_DELIVERY_MODE_FLAG) { isPersistent = properties.delivery_mode == 2 }
        if has(AMQP_BASIC_PRIORITY_FLAG) { priority = properties.priority }
        if has(AMQP_BASIC_TIMESTAMP_FLAG) { timestamp = Int64(clamping: properties.timestamp) }
        if has(AMQP_BASIC_HEADERS_FLAG) {
            var decoder = HeaderDecoder()
            headers = decoder.values(of: properties.headers)
            isLossless = isLossless && decoder.isLossless
        }
        self.isLossless = isLossless
    }

    /// Returns the properties in the library's format, valid until `arena` is reset.
    func encoded(in arena: Arena) -> amqp_basic_properties_t {
        var properties = amqp_basic_properties_t()
        var flags: amqp_flags_t = 0
        func set(_ flag: Int32) { flags |= amqp_flags_t(bitPattern: flag) }
        func text(_ flag: Int32, _ value: String?) -> amqp_bytes_t {
            guard let value else { return amqp_bytes_t(len: 0, bytes: nil) }
            set(flag)
            return arena.bytes(value)
        }
        properties.content_type = text(AMQP_BASIC_CONTENT_TYPE_FLAG, contentType)
        properties.content_encoding = text(AMQP_BASIC_CONTENT_ENCODING_FLAG, contentEncoding)
        properties.correlation_id = text(AMQP_BASIC_CORRELATION_ID_FLAG, correlationID)
        properties.reply_to = text(AMQP_BASIC_REPLY_TO_FLAG, replyTo)
        properties.message_id = text(AMQP_BASIC_MESSAGE_ID_FLAG, messageID)
        properties.type = text(AMQP_BASIC_TYPE_FLAG, type)
        properties.app_id = text(AMQP_BASIC_APP_ID_FLAG, appID)
        properties.expiration = text(AMQP_BASIC_EXPIRATION_FLAG, expiration)
        set(AMQP_BASIC_DELIVERY_MODE_FLAG)
        properties.delivery_mode = isPersistent ? 2 : 1
        if let priority {
            set(AMQP_BASIC_PRIORITY_FLAG)
            properties.priority = priority
        }
        if let timestamp {
            set(AMQP_BASIC_TIMESTAMP_FLAG)
            properties.timestamp = UInt64(clamping: timestamp)
        }
        if !headers.isEmpty {
            set(AMQP_BASIC_HEADERS_FLAG)
            properties.headers = arena.table(headers)
        }
        properties._flags = flags
        return properties
    }
}
