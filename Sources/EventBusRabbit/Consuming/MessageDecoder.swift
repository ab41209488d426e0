import EventBus

/// A decoder of messages from any AMQP client. Fields that the client did not set have the values of a new event, and
/// headers that anyone can forge have no influence on topic or attempts.
struct MessageDecoder: Sendable {
    /// The exchange to which events are published.
    let events: String
    /// The patterns of the subscription whose queue is read. It is empty if there is none.
    var patterns: [TopicPattern] = []
    /// A Boolean value indicating whether the queue's broker counts redeliveries in a header, as for quorum queues.
    var countsRedeliveries = false
    /// The queues to which replies may be sent.
    var replyQueues = ReplyQueues()

    /// The tolerated earliness of a delayed copy in milliseconds, because the clocks of two hosts differ.
    private static let tolerance: Int64 = 2000

    /// Decodes a message.
    ///
    /// - Parameters:
    ///   - queue: The queue in which the message is, or was when it was given up.
    ///   - isRedelivered: The broker's flag that the message was delivered before.
    ///   - maximumRedeliveries: The maximum number of redeliveries that the event may have caused.
    /// - Throws: ``NoTopic`` if nothing tells the event's topic.
    func decode(
        _ message: AMQPMessage,
        in queue: String,
        isRedelivered: Bool = false,
        maximumRedeliveries: Int = .max
    ) throws(NoTopic) -> DecodedMessage {
        let route = ArrivalRoute(of: message, in: queue, events: events)
        guard let topic = topic(of: message, route) else {
            throw NoTopic(
                exchange: message.exchange,
                routingKey: message.routingKey,
                type: message.properties.type,
                isMisrouted: route == .misrouted
            )
        }
        let properties = message.properties
        let headers = properties.headers
        let time =
            headers[WireHeaders.time]?.string.flatMap { EventTime(rfc3339: $0) }
            ?? properties.timestamp.flatMap { EventTime(foreignSeconds: $0) }
        let envelope = Envelope(
            id: message.eventID,
            topic: topic,
            payload: message.body,
            contentType: properties.contentType?.asProperty ?? "application/json",
            contentEncoding: properties.contentEncoding?.asProperty,
            version: headers[WireHeaders.version]?.int.map { Int(clamping: $0) } ?? 1,
            time: time ?? .now(),
            source: properties.appID?.asProperty,
            // It is as trustworthy as the property, which anyone can set, so it is always accepted.
            correlationID: (headers[WireHeaders.correlationID]?.string ?? properties.correlationID)
                .map { CorrelationID($0) },
            causationID: headers[WireHeaders.causationID]?.string.map { EventID($0) },
            partitionKey: headers[WireHeaders.partitionKey]?.string,
            // Most events have no user headers, and a filter without results would still create a dictionary.
            headers: headers.contains(where: { WireHeaders.isUsers($0.name) })
                ? EventHeaders(headers.filter { WireHeaders.isUsers($0.name) }) : EventHeaders()
        )
        var decoded = DecodedMessage(
            // A letter that is exported must be accepted when it is restored.
            envelope: envelope.portable,
            route: route,
            failedAttempts: failedAttempts(headers, route),
            redeliveries: min(redeliveries(headers, isRedelivered), maximumRedeliveries)
        )
        if decoded.isDelayed, let due = headers[WireHeaders.due]?.int {
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
        case .scheduled(let scheduledTopic):
            return topic(scheduledTopic)
        case .retry, .deadLetter, .defaultExchange:
            return onlyTopic ?? matching(message.properties.type)
        case .foreign:
            return matching(message.routingKey) ?? onlyTopic ?? matching(message.properties.type)
        case .misrouted:
            return nil
        }
    }

    /// The subscription's topic if it requests only one, which is that of every event in its queue.
    private var onlyTopic: Topic? {
        guard let first = patterns.first, patterns.count == 1, first.isExact else { return nil }
        return try? Topic(validating: first.rawValue)
    }

    private func failedAttempts(_ headers: HeaderTable, _ route: ArrivalRoute) -> Int {
        guard route.isTrusted, let count = headers[WireHeaders.attempts]?.int else { return 0 }
        return Int(clamping: max(0, min(count, 1 << 30)))
    }

    private func redeliveries(_ headers: HeaderTable, _ isRedelivered: Bool) -> Int {
        guard isRedelivered else { return 0 }
        guard countsRedeliveries, let count = headers[WireHeaders.deliveryCount]?.int else { return 1 }
        return Int(clamping: max(1, min(count, 1 << 30)))
    }
}

/// A message of the broker as decoded for the bus.
struct DecodedMessage {
    var envelope: Envelope
    /// The way in which the message reached its queue.
    var route: ArrivalRoute
    /// The number of failed attempts.
    var failedAttempts: Int
    /// The number of redeliveries that the event may have caused.
    var redeliveries: Int
    /// The address for the reply if the event is a request, and `nil` otherwise.
    var replyAddress: ReplyAddress?
    /// A Boolean value indicating whether a delayed copy arrived before it was due.
    var isEarly = false
    /// The requested reply queue if it is not allowed.
    var refusedReplyQueue: String?

    /// A Boolean value indicating whether the bus's own headers in the message were set by the bus.
    var isTrusted: Bool { route.isTrusted }

    /// A Boolean value indicating whether the message came through the delay levels.
    var isDelayed: Bool {
        switch route {
        case .retry, .scheduled: true
        default: false
        }
    }
}

/// The error for a message that contains no topic.
struct NoTopic: Error, CustomStringConvertible {
    var exchange: String
    var routingKey: String
    var type: String?
    /// A Boolean value indicating whether the message came through an exchange of the bus, but was sent to another queue.
    var isMisrouted: Bool

    /// The reason of the dead letter.
    var reason: Failure.Reason { isMisrouted ? .misrouted : .noTopic }

    var description: String {
        if isMisrouted {
            return "the event was sent through \(exchange.quotedForError) to another queue, and a header such as CC "
                + "brought a copy of it here"
        }
        return "nothing says which topic the event has: it came through "
            + (exchange.isEmpty ? "the default exchange" : "the exchange \(exchange.quotedForError)")
            + " with the routing key \(routingKey.quotedForError) and "
            + (type.map { "the type \($0.quotedForError)" } ?? "without a type")
            + "; publish it to the exchange of events with its topic as routing key"
    }
}

extension String {
    /// The text as it fits into a property again. Bytes that are no text have become longer when they were decoded.
    fileprivate var asProperty: String { prefixed(toUTF8Length: AMQPProperties.maximumTextLength) }
}

extension EventTime {
    /// Creates the time of a timestamp that anyone may have chosen, or returns `nil` if it is outside the years 0 to 9999,
    /// which exports and stores cannot express.
    init?(foreignSeconds seconds: Int64) {
        let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        self.init(milliseconds: milliseconds)
        if overflow || !isRFC3339 { return nil }
    }
}
