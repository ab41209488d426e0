import EventBus

extension AMQPProperties {
    /// Creates the properties of a new event.
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

    /// Returns the properties for republishing the same event as a retry, a dead letter or a replay.
    ///
    /// They are built from an allow-list of properties.
    ///
    /// - Parameter isTrusted: `true` if the bus's own headers in the message were set by the bus. Otherwise they are
    ///   left out.
    func forRepublish(id: EventID, topic: Topic?, from message: AMQPMessage, isTrusted: Bool) -> AMQPProperties {
        var properties = self
        properties.messageID = id.rawValue
        properties.isPersistent = true
        properties.headers = headers.filter { WireHeaders.mayGoOutAgain($0.name, isTrusted: isTrusted) }
        if message.hasNoID { properties.headers[WireHeaders.contentID] = .bool(true) }
        properties.headers[WireHeaders.topic] = topic.map { .string($0.rawValue) }
        if properties.headers[WireHeaders.originalRoutingKey] == nil {
            properties.headers[WireHeaders.originalExchange] = .string(message.exchange)
            properties.headers[WireHeaders.originalRoutingKey] = .string(message.routingKey)
        }
        return properties
    }
}
