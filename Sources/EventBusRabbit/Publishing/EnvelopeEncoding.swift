import EventBus

extension AMQPProperties {
    /// The properties of a new event.
    init(_ envelope: Envelope) {
        self.init()
        contentType = envelope.contentType
        contentEncoding = envelope.contentEncoding
        correlationID = envelope.correlationID?.rawValue
        messageID = envelope.id.rawValue
        type = envelope.topic.rawValue
        appID = envelope.source
        let milliseconds = envelope.time.milliseconds
        timestamp = milliseconds >= 0 ? milliseconds / 1000 : 0
        headers = envelope.headers.values
        headers[WireHeaders.version] = .int(Int64(envelope.version))
        headers[WireHeaders.time] = .string(envelope.time.rfc3339)
        if let causationID = envelope.causationID { headers[WireHeaders.causationID] = .string(causationID.rawValue) }
        if let partitionKey = envelope.partitionKey { headers[WireHeaders.partitionKey] = .string(partitionKey) }
    }

    /// The properties of the same event on a further journey: a retry, a dead letter, a replay.
    ///
    /// Built from what may go out again, not from what may not.
    ///
    /// - Parameter isTrusted: Whether the bus's own headers in the message are the bus's; otherwise they stay behind.
    func forRepublish(id: EventID, topic: Topic?, from message: AMQPMessage, isTrusted: Bool) -> AMQPProperties {
        var properties = self
        properties.messageID = id.rawValue
        properties.isPersistent = true
        properties.headers = headers.filter { WireHeaders.mayGoOutAgain($0.key, isTrusted: isTrusted) }
        properties.headers[WireHeaders.topic] = topic.map { .string($0.rawValue) }
        if properties.headers[WireHeaders.originalRoutingKey] == nil {
            properties.headers[WireHeaders.originalExchange] = .string(message.exchange)
            properties.headers[WireHeaders.originalRoutingKey] = .string(message.routingKey)
        }
        return properties
    }
}
