import EventBus

/// What goes out when a delivery is not acknowledged: a copy that waits, or one that rests with the dead letters.
enum Republishing {
    typealias Held = RabbitConsumer.Held

    /// The next attempt.
    static func retry(
        _ held: Held,
        queue: String,
        delay: Duration,
        failure: Failure
    ) throws(EventBusError) -> AMQPPublish {
        var publish = try deferral(held, queue: queue, delay: delay)
        let now = HeaderValue.string(EventTime.now().rfc3339)
        publish.properties.headers[WireHeaders.attempts] = .int(Int64(failure.attempt))
        if publish.properties.headers[WireHeaders.firstFailure] == nil {
            publish.properties.headers[WireHeaders.firstFailure] = now
        }
        // For what the broker itself gives up on later: the last error that is known.
        publish.properties.headers[WireHeaders.lastFailure] = now
        publish.properties.headers[WireHeaders.errorType] = .string(failure.errorType)
        publish.properties.headers[WireHeaders.errorMessage] = .string(failure.message)
        return publish
    }

    /// The same attempt, later.
    static func deferral(_ held: Held, queue: String, delay: Duration) throws(EventBusError) -> AMQPPublish {
        var properties = held.message.properties.forRepublish(
            id: held.envelopeID,
            topic: held.topic,
            from: held.message
        )
        if held.failedAttempts > 0 { properties.headers[WireHeaders.attempts] = .int(Int64(held.failedAttempts)) }
        let (exchange, routingKey): (String, String)
        if delay > .zero {
            let route = try DelayRoute(delay: delay, to: .queue(queue))
            (exchange, routingKey) = (route.exchange, route.routingKey)
        } else {
            // The default exchange leads straight into the queue.
            (exchange, routingKey) = ("", queue)
        }
        return AMQPPublish(
            exchange: exchange,
            routingKey: routingKey,
            properties: properties,
            body: held.message.body
        )
    }

    /// The dead letter.
    static func deadLetter(_ held: Held, specification: QueueSpecification, failure: Failure) -> AMQPPublish {
        deadLetter(
            of: held.message,
            id: held.envelopeID,
            topic: held.topic,
            specification: specification,
            failure: failure
        )
    }

    static func deadLetter(
        of message: AMQPMessage,
        id: EventID,
        topic: Topic?,
        specification: QueueSpecification,
        failure: Failure
    ) -> AMQPPublish {
        var properties = message.properties.forRepublish(id: id, topic: topic, from: message)
        let now = HeaderValue.string(EventTime.now().rfc3339)
        properties.headers[WireHeaders.attempts] = .int(Int64(failure.attempt))
        if properties.headers[WireHeaders.firstFailure] == nil {
            properties.headers[WireHeaders.firstFailure] = failure.firstFailure.map { .string($0.rfc3339) } ?? now
        }
        properties.headers[WireHeaders.lastFailure] = now
        properties.headers[WireHeaders.reason] = .string(failure.reason.rawValue)
        properties.headers[WireHeaders.errorType] = .string(failure.errorType)
        properties.headers[WireHeaders.errorMessage] = .string(failure.message)
        properties.headers[WireHeaders.group] = .string(specification.group)
        properties.headers[WireHeaders.queue] = .string(specification.queueName)
        return AMQPPublish(
            exchange: TopologyNames.deadLetterExchange,
            routingKey: specification.group,
            properties: properties,
            body: message.body
        )
    }
}
