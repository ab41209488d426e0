import EventBus

/// What a message of the broker is to the bus.
struct DecodedMessage {
    var envelope: Envelope
    /// How many attempts have failed.
    var failedAttempts: Int
    /// How often the broker delivered it again.
    var redeliveries: Int
    var replyAddress: ReplyAddress?
}

/// A message without anything that could be its topic.
struct NoTopic: Error, CustomStringConvertible {
    var routingKey: String

    var description: String {
        "neither the type nor the routing key \(routingKey.quotedForError) is a topic"
    }
}

extension DecodedMessage {
    /// Reads a message that may come from any AMQP client: whatever it did not set gets the value of a fresh event.
    init(_ message: AMQPMessage, isRedelivered: Bool) throws(NoTopic) {
        let properties = message.properties
        let headers = properties.headers
        let candidates = [
            headers[WireHeaders.topic]?.string, properties.type, headers[WireHeaders.originalRoutingKey]?.string,
            message.routingKey,
        ]
        guard let topic = candidates.lazy.compactMap({ $0.flatMap { try? Topic(validating: $0) } }).first else {
            throw NoTopic(routingKey: message.routingKey)
        }
        let time =
            headers[WireHeaders.time]?.string.flatMap { EventTime(rfc3339: $0) }
            ?? properties.timestamp.flatMap { seconds in
                let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1000)
                return overflow ? nil : EventTime(milliseconds: milliseconds)
            }
        let messageID = properties.messageID.flatMap { $0.isEmpty ? nil : EventID($0) }
        envelope = Envelope(
            id: messageID ?? EventID(),
            topic: topic,
            payload: message.body,
            contentType: properties.contentType ?? "application/json",
            version: headers[WireHeaders.version]?.int.map { Int(clamping: $0) } ?? 1,
            time: time ?? .now(),
            source: properties.appID,
            correlationID: (headers[WireHeaders.correlationID]?.string ?? properties.correlationID)
                .map { CorrelationID($0) },
            causationID: headers[WireHeaders.causationID]?.string.map { EventID($0) },
            partitionKey: headers[WireHeaders.partitionKey]?.string,
            // Most events have no header of the user's, and a filter that keeps nothing makes a dictionary all the same.
            headers: headers.keys.contains(where: WireHeaders.isUsers)
                ? EventHeaders(headers.filter { WireHeaders.isUsers($0.key) }) : EventHeaders()
        )
        failedAttempts = headers[WireHeaders.attempts]?.int.map { Int(clamping: max(0, min($0, 1 << 30))) } ?? 0
        redeliveries =
            headers[WireHeaders.deliveryCount]?.int.map { Int(clamping: max(0, $0)) } ?? (isRedelivered ? 1 : 0)
        if let replyTo = properties.replyTo, !replyTo.isEmpty {
            replyAddress = ReplyAddress(
                address: replyTo,
                requestID: properties.correlationID ?? properties.messageID ?? ""
            )
        }
    }
}
