import EventBus

/// The events to publish if a delivery is not acknowledged: a delayed copy or a dead letter. They have the id under
/// which the subscription handles the event.
enum RepublishBuilder {
    typealias Held = RabbitConsumer.Held

    /// Returns the next attempt.
    static func retry(
        _ held: Held,
        as id: EventID,
        queue: String,
        delay: Duration,
        failure: Failure
    ) throws(EventBusError) -> AMQPPublish {
        var properties = properties(of: held, as: id)
        let time = EventTime.now()
        let now = HeaderValue.string(time.rfc3339)
        properties.headers[WireHeaders.attempts] = .int(Int64(failure.attempt))
        // One in the future was stored before the clock was set back, and would extend the time for retries.
        let first = WireHeaders.firstFailure(in: properties.headers, isTrusted: true)
        if properties.headers[WireHeaders.firstFailure] == nil || first.map({ $0 > time }) == true {
            properties.headers[WireHeaders.firstFailure] = now
        }
        // The last known error, in case the broker itself gives up the event later.
        properties.headers[WireHeaders.lastFailure] = now
        properties.headers[WireHeaders.errorType] = .string(failure.errorType)
        properties.headers[WireHeaders.errorMessage] = .string(failure.message)
        return try back(to: queue, after: delay, properties, held.message.body)
    }

    /// Returns the same attempt, delayed.
    ///
    /// With a failure, the delays of such deferrals are added up. See `Delivery.deferredFor`.
    static func deferral(
        _ held: Held,
        as id: EventID,
        queue: String,
        delay: Duration,
        failure: Failure?
    ) throws(EventBusError) -> AMQPPublish {
        var properties = properties(of: held, as: id)
        var deferred = WireHeaders.deferred(in: held.message.properties.headers, isTrusted: held.isTrusted)
        if failure != nil { deferred += min(delay, .longest) }
        if deferred > .zero { properties.headers[WireHeaders.deferred] = .int(deferred.inNanoseconds / 1_000_000) }
        if let failure {
            // The last known error, in case the broker itself gives up the event later.
            properties.headers[WireHeaders.errorType] = .string(failure.errorType)
            properties.headers[WireHeaders.errorMessage] = .string(failure.message)
        }
        if held.failedAttempts > 0 { properties.headers[WireHeaders.attempts] = .int(Int64(held.failedAttempts)) }
        return try back(to: queue, after: delay, properties, held.message.body)
    }

    private static func properties(of held: Held, as id: EventID) -> AMQPProperties {
        held.message.properties.forRepublish(
            id: id,
            topic: held.topic,
            from: held.message,
            isTrusted: held.isTrusted
        )
    }

    private static func back(
        to queue: String,
        after delay: Duration,
        _ properties: AMQPProperties,
        _ body: [UInt8]
    ) throws(EventBusError) -> AMQPPublish {
        let (exchange, routingKey): (String, String)
        var properties = properties
        if delay > .zero {
            let wait = delay.components
            let due = EventTime.now().milliseconds + wait.seconds * 1000 + wait.attoseconds / 1_000_000_000_000_000
            properties.headers[WireHeaders.due] = .int(due)
            let route = try DelayRoute(delay: delay, to: .queue(queue))
            (exchange, routingKey) = (route.exchange, route.routingKey)
        } else {
            // The default exchange leads directly to the queue.
            (exchange, routingKey) = ("", queue)
        }
        return AMQPPublish(
            exchange: exchange,
            routingKey: routingKey,
            properties: properties,
            body: body
        )
    }

    /// Returns the dead letter.
    static func deadLetter(
        _ held: Held,
        as id: EventID,
        group: String,
        queue: String,
        failure: Failure
    ) -> AMQPPublish {
        var properties = properties(of: held, as: id)
        let now = HeaderValue.string(EventTime.now().rfc3339)
        properties.headers[WireHeaders.attempts] = .int(Int64(failure.attempt))
        if properties.headers[WireHeaders.firstFailure] == nil {
            properties.headers[WireHeaders.firstFailure] = failure.firstFailure.map { .string($0.rfc3339) } ?? now
        }
        properties.headers[WireHeaders.lastFailure] = now
        properties.headers[WireHeaders.reason] = .string(failure.reason.rawValue)
        properties.headers[WireHeaders.errorType] = .string(failure.errorType)
        properties.headers[WireHeaders.errorMessage] = .string(failure.message)
        properties.headers[WireHeaders.group] = .string(group)
        properties.headers[WireHeaders.queue] = .string(queue)
        return AMQPPublish(
            exchange: TopologyNames.deadLetterExchange,
            routingKey: group,
            properties: properties,
            body: held.message.body
        )
    }
}
