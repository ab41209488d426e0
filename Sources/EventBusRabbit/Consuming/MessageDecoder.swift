import EventBus

/// Reads messages that may come from any AMQP client: a field that the client did not set gets the value of a fresh
/// event, and a header that anyone can forge says nothing about topic or attempts.
struct MessageDecoder: Sendable {
    /// The exchange that events are published to.
    let events: String
    /// The patterns of the subscription whose queue is read; empty where there is none.
    var patterns: [TopicPattern] = []
    /// Whether the queue's broker counts redeliveries in a header: quorum queues do.
    var countsRedeliveries = false
    /// Where replies may go.
    var replyQueues = ReplyQueues()

    /// By how much a delayed copy may come early, in milliseconds: the clocks of two hosts differ.
    private static let tolerance: Int64 = 2000

    /// Reads a message.
    ///
    /// - Parameter isRedelivered: The broker's word that the message was delivered before.
    /// - Throws: ``NoTopic`` where nothing says which topic the event has.
    func decode(_ message: AMQPMessage, isRedelivered: Bool = false) throws(NoTopic) -> DecodedMessage {
        let route = ArrivalRoute(exchange: message.exchange, routingKey: message.routingKey, events: events)
        guard let topic = topic(of: message, route) else {
            throw NoTopic(exchange: message.exchange, routingKey: message.routingKey, type: message.properties.type)
        }
        let properties = message.properties
        let headers = properties.headers
        let time =
            headers[WireHeaders.time]?.string.flatMap { EventTime(rfc3339: $0) }
            ?? properties.timestamp.flatMap { seconds in
                let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1000)
                return overflow ? nil : EventTime(milliseconds: milliseconds)
            }
        let messageID = properties.messageID.flatMap { $0.isEmpty ? nil : EventID($0) }
        let envelope = Envelope(
            id: messageID ?? EventID(),
            topic: topic,
            payload: message.body,
            contentType: properties.contentType ?? "application/json",
            contentEncoding: properties.contentEncoding,
            version: headers[WireHeaders.version]?.int.map { Int(clamping: $0) } ?? 1,
            time: time ?? .now(),
            source: properties.appID,
            // Says no more than the property, which anyone can set: it is believed from everyone.
            correlationID: (headers[WireHeaders.correlationID]?.string ?? properties.correlationID)
                .map { CorrelationID($0) },
            causationID: headers[WireHeaders.causationID]?.string.map { EventID($0) },
            partitionKey: headers[WireHeaders.partitionKey]?.string,
            // Most events have no header of the user's, and a filter that keeps nothing makes a dictionary all the same.
            headers: headers.keys.contains(where: WireHeaders.isUsers)
                ? EventHeaders(headers.filter { WireHeaders.isUsers($0.key) }) : EventHeaders()
        )
        var decoded = DecodedMessage(
            envelope: envelope,
            isTrusted: route.isTrusted,
            failedAttempts: failedAttempts(headers, route),
            redeliveries: redeliveries(headers, isRedelivered)
        )
        if case .delay = route, let due = headers[WireHeaders.due]?.int {
            let (early, overflow) = due.subtractingReportingOverflow(EventTime.now().milliseconds)
            decoded.isEarly = !overflow && early > Self.tolerance
        }
        if let replyTo = properties.replyTo, !replyTo.isEmpty {
            if replyQueues.contains(replyTo) {
                decoded.replyAddress = ReplyAddress(
                    address: replyTo,
                    requestID: properties.correlationID ?? properties.messageID ?? ""
                )
            } else {
                decoded.refusedReplyQueue = replyTo
            }
        }
        return decoded
    }

    private func topic(of message: AMQPMessage, _ route: ArrivalRoute) -> Topic? {
        func topic(_ text: String?) -> Topic? { text.flatMap { try? Topic(validating: $0) } }
        func matching(_ text: String?) -> Topic? {
            topic(text).flatMap { topic in patterns.contains { $0.matches(topic) } ? topic : nil }
        }
        if route.isTrusted, let own = topic(message.properties.headers[WireHeaders.topic]?.string) { return own }
        switch route {
        case .events:
            return topic(message.routingKey)
        case .delay(let scheduledTopic):
            return topic(scheduledTopic) ?? onlyTopic ?? matching(message.properties.type)
        case .deadLetter, .defaultExchange:
            return onlyTopic ?? matching(message.properties.type)
        case .foreign:
            return matching(message.routingKey) ?? onlyTopic ?? matching(message.properties.type)
        }
    }

    /// The subscription's topic, if it asks for one only: every event in its queue is of that topic.
    private var onlyTopic: Topic? {
        guard let first = patterns.first, patterns.count == 1, first.isExact else { return nil }
        return try? Topic(validating: first.rawValue)
    }

    private func failedAttempts(_ headers: [String: HeaderValue], _ route: ArrivalRoute) -> Int {
        guard route.isTrusted, let count = headers[WireHeaders.attempts]?.int else { return 0 }
        return Int(clamping: max(0, min(count, 1 << 30)))
    }

    private func redeliveries(_ headers: [String: HeaderValue], _ isRedelivered: Bool) -> Int {
        guard isRedelivered else { return 0 }
        guard countsRedeliveries, let count = headers[WireHeaders.deliveryCount]?.int else { return 1 }
        return Int(clamping: max(1, min(count, 1 << 30)))
    }
}

/// What a message of the broker is to the bus.
struct DecodedMessage {
    var envelope: Envelope
    /// Whether the bus's own headers in the message are the bus's.
    var isTrusted: Bool
    /// How many attempts have failed.
    var failedAttempts: Int
    /// How often the broker delivered it again.
    var redeliveries: Int
    /// Where the reply goes, if the event is a request.
    var replyAddress: ReplyAddress?
    /// Whether a delayed copy came before it was due.
    var isEarly = false
    /// Where a reply was asked for that may not go there.
    var refusedReplyQueue: String?
}

/// A message without anything that could be its topic.
struct NoTopic: Error, CustomStringConvertible {
    var exchange: String
    var routingKey: String
    var type: String?

    var description: String {
        "nothing says which topic the event has: it came through "
            + (exchange.isEmpty ? "the default exchange" : "the exchange \(exchange.quotedForError)")
            + " with the routing key \(routingKey.quotedForError) and "
            + (type.map { "the type \($0.quotedForError)" } ?? "without a type")
            + "; publish it to the exchange of events with its topic as routing key"
    }
}
