import EventBus

extension AMQPMessage {
    /// The event's id: the message id, or a digest of the content if there is none or a blank one.
    var eventID: EventID { ownID ?? contentID }

    /// A Boolean value indicating whether there is no message id, or a blank one.
    var hasNoID: Bool { ownID == nil }

    /// Returns a Boolean value indicating whether the event's id is a digest of its content, also in a republished copy.
    ///
    /// - Parameter isTrusted: `true` if the bus's own headers in the message were set by the bus.
    func hasContentID(isTrusted: Bool) -> Bool {
        hasNoID || (isTrusted && properties.headers[WireHeaders.contentID] != nil)
    }

    private var ownID: EventID? {
        guard let text = properties.messageID else { return nil }
        let id = EventID(text)
        return id.isBlank ? nil : id
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
