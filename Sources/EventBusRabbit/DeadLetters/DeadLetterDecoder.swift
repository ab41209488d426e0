import EventBus

/// A decoder of a dead-letter queue's entries: letters from a consumer of a bus, letters from the broker itself, and
/// messages of other clients.
struct DeadLetterDecoder: Sendable {
    let group: String
    let messages: MessageDecoder

    /// A letter, and the data that is needed to replay its event.
    struct Reading: Sendable {
        var letter: DeadLetter
        /// The event as it was in its subscription's queue.
        var original: AMQPMessage
        /// The event's topic, if it is known.
        var topic: Topic?
        /// A Boolean value indicating whether the bus's own headers were set by the bus.
        var isTrusted: Bool
        /// The routing key behind the delay levels of a scheduled event that matched no subscription.
        var scheduledKey: String?
        /// A Boolean value indicating whether the event is in the queue of its subscription, and not given up.
        var isWaiting = false
    }

    /// Decodes an entry of the group's dead letters.
    func read(_ message: AMQPMessage) -> Reading { read(message, death: BrokerDeath(message.properties.headers)) }

    /// Decodes an event that waits in a queue.
    func read(waiting message: AMQPMessage, in queue: String) -> Reading {
        // Records of the broker are of earlier places.
        var reading = read(message, death: nil)
        reading.isWaiting = true
        reading.letter.queue = queue
        reading.letter.group = String(queue.prefix { $0 != "." })
        reading.letter.failure.reason = Failure.Reason(rawValue: "waiting")
        // The last error of a retry says why the event was not handled.
        if reading.letter.failure.errorType.isEmpty { reading.letter.failure.message = "not handled yet" }
        return reading
    }

    private func read(_ message: AMQPMessage, death: BrokerDeath?) -> Reading {
        let headers = message.properties.headers
        var original = message
        if let death {
            // The broker gave the event up, so the event is unchanged, and the record describes its route.
            original.exchange = death.exchange
            original.routingKey = death.routingKey
        }
        let decoded = try? messages.decode(original)
        let route = ArrivalRoute(
            exchange: original.exchange,
            routingKey: original.routingKey,
            events: messages.events
        )
        let own = route.isTrusted ? headers : [:]
        func time(_ name: String) -> EventTime? { own[name]?.string.flatMap { EventTime(rfc3339: $0) } }
        let envelope =
            decoded?.envelope
            ?? Envelope(
                id: original.eventID,
                topic: "eventbus.no-topic",
                payload: message.body,
                contentType: message.properties.contentType ?? "application/octet-stream",
                contentEncoding: message.properties.contentEncoding
            )
        let attempts = decoded?.failedAttempts ?? 0
        let reason = death?.reason ?? own[WireHeaders.reason]?.string ?? "unknown"
        let letter = DeadLetter(
            envelope: envelope,
            group: group,
            queue: death?.queue ?? own[WireHeaders.queue]?.string ?? "",
            failure: failure(reason, of: own, isOfBroker: death != nil, attempts: attempts),
            attempts: attempts,
            firstFailure: time(WireHeaders.firstFailure),
            lastFailure: (death == nil ? time(WireHeaders.lastFailure) : death?.time) ?? envelope.time
        )
        return Reading(letter: letter, original: original, topic: decoded?.envelope.topic, isTrusted: route.isTrusted)
    }

    /// Returns the reason why an event was given up.
    ///
    /// If the broker gave it up, the error in the headers is of an earlier attempt. It is quoted as such, because a broker
    /// before 4.0 completes a record that the publisher began, so that the route may be the publisher's claim.
    private func failure(_ reason: String, of own: HeaderTable, isOfBroker: Bool, attempts: Int) -> Failure {
        var (type, message) = (own[WireHeaders.errorType]?.string ?? "", own[WireHeaders.errorMessage]?.string)
        if isOfBroker || message == nil {
            let earlier = message.map { "; its headers name an earlier error: \(type.isEmpty ? "" : type + ": ")\($0)" }
            (type, message) = ("", "given up by the broker: \(reason)\(earlier ?? "")")
        }
        return Failure(
            reason: Failure.Reason(rawValue: String(loggable: reason)),
            errorType: type,
            message: message ?? "",
            attempt: attempts
        )
    }

    /// Decodes a delayed event that matched no queue. Its routing key contains the destination, either as a key of the
    /// levels or as the name of a queue after a due queue.
    func read(unroutable message: AMQPMessage) -> Reading {
        var reading = read(message)
        if DelayRoute.scheduledTopic(in: message.routingKey) == nil {
            let queue = DelayRoute.queue(in: message.routingKey) ?? message.routingKey
            reading.letter.queue = queue
            reading.letter.group = queue.prefix(while: { $0 != "." }).description
        } else {
            reading.letter.queue = ""
            reading.scheduledKey = message.routingKey
        }
        reading.letter.failure.reason = Failure.Reason(rawValue: "unroutable_delay")
        reading.letter.failure.message = "its queue was gone when its delay had passed"
        return reading
    }
}

/// The broker's record of the last time it dead-lettered an event.
///
/// The broker writes the newest record first, so the first one that is not of a delay level is its own, and its queue and
/// reason are facts. Records that a publisher put into the header follow. A broker before 4.0, however, completes a record
/// of the same queue and reason that the publisher began, and keeps the publisher's exchange and routing key.
private struct BrokerDeath {
    var reason: String
    var queue: String
    var exchange: String
    var routingKey: String
    var time: EventTime?

    init?(_ headers: HeaderTable) {
        guard case .array(let entries)? = headers[WireHeaders.death] else { return nil }
        for case .table(let values) in entries {
            guard let queue = values["queue"]?.string, let reason = values["reason"]?.string,
                !queue.beginsWithBytes(of: TopologyNames.delayPrefix)
            else { continue }
            self.queue = queue
            self.reason = reason
            exchange = values["exchange"]?.string ?? ""
            routingKey = ""
            if case .array(let keys)? = values["routing-keys"] { routingKey = keys.first?.string ?? "" }
            if case .timestamp(let seconds)? = values["time"] {
                let (milliseconds, overflow) = seconds.multipliedReportingOverflow(by: 1000)
                time = overflow ? nil : EventTime(milliseconds: milliseconds)
            }
            return
        }
        return nil
    }
}
