import EventBus

extension AMQPMessage {
    /// The message without the headers that only a bus may set. The broker's own ones stay.
    fileprivate var withoutInternalHeaders: AMQPMessage {
        var message = self
        message.properties.headers = properties.headers.filter {
            $0.name == WireHeaders.death || WireHeaders.mayGoOutAgain($0.name, isTrusted: false)
        }
        return message
    }

    /// The message as a consumer received it that rejected it, so that the record of a delay before is the newest one.
    ///
    /// An event that expired where it waits was never received, so a record behind that one may be a publisher's.
    fileprivate func beforeDeath(_ death: BrokerDeath) -> AMQPMessage {
        guard death.isOfConsumer, case .array(let records)? = properties.headers[WireHeaders.death] else { return self }
        var message = self
        let earlier = records.drop { !death.isWritten(in: $0) }.dropFirst()
        message.properties.headers[WireHeaders.death] = .array(Array(earlier))
        return message
    }
}

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
        /// A Boolean value indicating whether the event came through the delay levels with a routing key that leads to
        /// another queue.
        var isMisrouted: Bool
        /// The routing key behind the delay levels of a scheduled event that matched no subscription.
        var scheduledKey: String?
        /// A Boolean value indicating whether the event is in the queue of its subscription, and not given up.
        var isWaiting = false
    }

    /// Decodes an entry of the group's dead letters.
    func read(_ message: AMQPMessage) -> Reading {
        // The records of the delay levels are of earlier places.
        let newest = BrokerDeath.newest(in: message.properties.headers) {
            !$0.beginsWithBytes(of: TopologyNames.delayPrefix)
        }
        switch newest {
        case .record(let death): return read(message, in: death.queue, death: death)
        case .none: return read(message, in: TopologyNames.deadLetterQueue(of: group), death: nil)
        case .unknown:
            // A bus sends no such header, so the others are not from a bus either.
            return read(message.withoutInternalHeaders, in: TopologyNames.deadLetterQueue(of: group), death: nil)
        }
    }

    /// Decodes an event that waits in a queue.
    func read(waiting message: AMQPMessage, in queue: String) -> Reading {
        // Records of the broker are of earlier places.
        var reading = read(message, in: queue, death: nil)
        reading.isWaiting = true
        reading.letter.queue = queue
        reading.letter.group = Self.clean(String(queue.prefix { $0 != "." }))
        reading.letter.failure.reason = Failure.Reason(rawValue: "waiting")
        // The last error of a retry says why the event was not handled.
        if reading.letter.failure.errorType.isEmpty { reading.letter.failure.message = "not handled yet" }
        return reading
    }

    /// Decodes an event that is in `queue`, or was there when the broker gave it up.
    private func read(_ message: AMQPMessage, in queue: String, death: BrokerDeath?) -> Reading {
        // A bus sends only what can go out again.
        var original = message.properties.isLossless ? message : message.withoutInternalHeaders
        let headers = original.properties.headers
        if let death {
            // The broker gave the event up, so the event is unchanged, and the record describes its route.
            original.exchange = death.exchange
            original.routingKey = death.routingKey
        }
        let arrived = death.map { original.beforeDeath($0) } ?? original
        let decoded = try? messages.decode(arrived, in: queue)
        let route = decoded?.route ?? ArrivalRoute(of: arrived, in: queue, events: messages.events)
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
            queue: Self.clean(death?.queue ?? own[WireHeaders.queue]?.string ?? ""),
            failure: failure(reason, of: own, isOfBroker: death != nil, attempts: attempts),
            attempts: attempts,
            firstFailure: time(WireHeaders.firstFailure),
            lastFailure: (death == nil ? time(WireHeaders.lastFailure) : death?.time) ?? envelope.time
        )
        return Reading(
            letter: letter,
            original: original,
            topic: decoded?.envelope.topic,
            isTrusted: route.isTrusted,
            isMisrouted: route == .misrouted || letter.failure.reason == .misrouted
        )
    }

    /// Returns the name of a queue, or nothing if no queue of a bus can have it, because it would be interpreted where it
    /// is shown.
    private static func clean(_ queue: String) -> String { queue == queue.printable ? queue : "" }

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
        let queue = Self.clean(DelayRoute.queue(in: message.routingKey) ?? message.routingKey)
        var reading = read(message, in: queue, death: nil)
        if DelayRoute.scheduledTopic(in: message.routingKey) == nil {
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
