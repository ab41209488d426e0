import CRabbitMQ

extension IncomingMethod {
    /// Copies a method out of the library's memory.
    init(_ method: amqp_method_t) {
        guard let decoded = method.decoded else {
            self = .unknown(method.id)
            return
        }
        // The library has decoded the structure that belongs to the method's number.
        func fields<Fields>(_ type: Fields.Type) -> Fields { decoded.assumingMemoryBound(to: type).pointee }
        switch method.id {
        case AMQP_BASIC_DELIVER_METHOD:
            let fields = fields(amqp_basic_deliver_t.self)
            self = .deliver(
                deliveryTag: fields.delivery_tag,
                isRedelivered: fields.redelivered != 0,
                exchange: String(lossy: fields.exchange),
                routingKey: String(lossy: fields.routing_key)
            )
        case AMQP_BASIC_ACK_METHOD:
            let fields = fields(amqp_basic_ack_t.self)
            self = .confirmed(tag: fields.delivery_tag, multiple: fields.multiple != 0, isAcknowledged: true)
        case AMQP_BASIC_NACK_METHOD:
            let fields = fields(amqp_basic_nack_t.self)
            self = .confirmed(tag: fields.delivery_tag, multiple: fields.multiple != 0, isAcknowledged: false)
        case AMQP_BASIC_RETURN_METHOD:
            let fields = fields(amqp_basic_return_t.self)
            self = .returned(
                code: fields.reply_code,
                text: String(lossy: fields.reply_text),
                exchange: String(lossy: fields.exchange),
                routingKey: String(lossy: fields.routing_key)
            )
        case AMQP_BASIC_GET_OK_METHOD:
            let fields = fields(amqp_basic_get_ok_t.self)
            self = .got(
                deliveryTag: fields.delivery_tag,
                isRedelivered: fields.redelivered != 0,
                exchange: String(lossy: fields.exchange),
                routingKey: String(lossy: fields.routing_key),
                remaining: Int(fields.message_count)
            )
        case AMQP_BASIC_GET_EMPTY_METHOD:
            self = .reply(.noMessage)
        case AMQP_BASIC_CANCEL_METHOD:
            self = .consumerCancelled(tag: String(lossy: fields(amqp_basic_cancel_t.self).consumer_tag))
        case AMQP_BASIC_CONSUME_OK_METHOD:
            self = .reply(.consumer(tag: String(lossy: fields(amqp_basic_consume_ok_t.self).consumer_tag)))
        case AMQP_QUEUE_DECLARE_OK_METHOD:
            let fields = fields(amqp_queue_declare_ok_t.self)
            self = .reply(
                .queue(
                    name: String(lossy: fields.queue),
                    messages: Int(fields.message_count),
                    consumers: Int(fields.consumer_count)
                )
            )
        case AMQP_CHANNEL_OPEN_OK_METHOD, AMQP_CHANNEL_CLOSE_OK_METHOD, AMQP_CONFIRM_SELECT_OK_METHOD,
            AMQP_EXCHANGE_DECLARE_OK_METHOD, AMQP_EXCHANGE_DELETE_OK_METHOD, AMQP_EXCHANGE_BIND_OK_METHOD,
            AMQP_QUEUE_BIND_OK_METHOD, AMQP_QUEUE_UNBIND_OK_METHOD, AMQP_QUEUE_DELETE_OK_METHOD,
            AMQP_QUEUE_PURGE_OK_METHOD, AMQP_BASIC_QOS_OK_METHOD, AMQP_BASIC_CANCEL_OK_METHOD:
            self = .reply(.done)
        case AMQP_CHANNEL_CLOSE_METHOD:
            let fields = fields(amqp_channel_close_t.self)
            self = .channelClose(code: fields.reply_code, text: String(lossy: fields.reply_text))
        case AMQP_CONNECTION_CLOSE_METHOD:
            let fields = fields(amqp_connection_close_t.self)
            self = .connectionClose(code: fields.reply_code, text: String(lossy: fields.reply_text))
        case AMQP_CONNECTION_CLOSE_OK_METHOD:
            self = .connectionCloseOK
        case AMQP_CONNECTION_BLOCKED_METHOD:
            self = .blocked(reason: String(lossy: fields(amqp_connection_blocked_t.self).reason))
        case AMQP_CONNECTION_UNBLOCKED_METHOD:
            self = .unblocked
        default:
            self = .unknown(method.id)
        }
    }
}
