import EventBus

extension AMQPPublish {
    /// Creates the event that adds a dead letter to those of a group, in the form in which a consumer adds one.
    ///
    /// - Parameters:
    ///   - letter: The dead letter.
    ///   - group: The group.
    ///   - events: The exchange of events, through which the event is taken to have come.
    convenience init(_ letter: DeadLetter, of group: String, events: String) {
        var properties = AMQPProperties(letter.envelope)
        properties.headers[WireHeaders.topic] = .string(letter.envelope.topic.rawValue)
        properties.headers[WireHeaders.originalExchange] = .string(events)
        properties.headers[WireHeaders.originalRoutingKey] = .string(letter.envelope.topic.rawValue)
        properties.headers[WireHeaders.attempts] = .int(Int64(letter.attempts))
        if let time = letter.firstFailure { properties.headers[WireHeaders.firstFailure] = .string(time.rfc3339) }
        properties.headers[WireHeaders.lastFailure] = .string(letter.lastFailure.rfc3339)
        properties.headers[WireHeaders.reason] = .string(letter.failure.reason.rawValue)
        properties.headers[WireHeaders.errorType] = .string(letter.failure.errorType)
        properties.headers[WireHeaders.errorMessage] = .string(letter.failure.message)
        properties.headers[WireHeaders.group] = .string(group)
        properties.headers[WireHeaders.queue] = .string(letter.queue)
        self.init(
            exchange: TopologyNames.deadLetterExchange,
            routingKey: group,
            properties: properties,
            body: letter.envelope.payload
        )
    }
}
