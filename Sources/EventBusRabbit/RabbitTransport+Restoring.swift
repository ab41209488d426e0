public import EventBus

extension RabbitTransport {
    /// Checks whether a dead letter can be restored, without a broker: whether its texts, headers and numbers can be sent.
    ///
    /// `restore` of a group's dead letters refuses the others too, but only after it has added those before. Check all of a
    /// backup first to add either all or none:
    ///
    /// ```swift
    /// for letter in letters { try RabbitTransport.checkRestorable(letter) }
    /// try await bus.deadLetters(of: "inventory").restore(letters)
    /// ```
    ///
    /// A payload that is larger than a broker accepts is not found, because each broker has its own limit.
    ///
    /// - Parameters:
    ///   - letter: The dead letter.
    ///   - exchange: The exchange of events. Defaults to `events`.
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidEnvelope`, which names the field, or `.tooLarge` for headers
    ///   that do not fit into a frame.
    public static func checkRestorable(
        _ letter: DeadLetter,
        exchange: String = "events"
    ) throws(EventBusError) {
        try letter.envelope.validateForRestoring()
        let publish = AMQPPublish(letter, of: letter.group, events: exchange)
        if let problem = publish.problem(frameMaximum: LoginParameters.frameMaximum) { throw problem.busError }
    }
}
