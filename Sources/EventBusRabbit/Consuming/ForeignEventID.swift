import EventBus

extension AMQPMessage {
    /// The event's id: the message id, or a digest of the content if there is none or a blank one.
    var eventID: EventID {
        if let text = properties.messageID {
            let id = EventID(text)
            if !id.isBlank { return id }
        }
        return contentID
    }

    /// A digest of everything that the broker keeps with the message and does not change when it redelivers it.
    private var contentID: EventID {
        var digest = EventDigest()
        digest.append(exchange)
        digest.append(routingKey)
        let texts = [
            properties.type, properties.appID, properties.correlationID, properties.replyTo, properties.contentType,
            properties.contentEncoding,
        ]
        for text in texts { digest.append(optional: text) }
        digest.append(optional: properties.timestamp.map { "\($0)" })
        digest.append(properties.headers.filter { WireHeaders.isStable($0.name) })
        digest.append(body)
        return digest.id()
    }
}
