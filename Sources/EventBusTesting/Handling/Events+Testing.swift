public import EventBus

extension Envelope {
    /// Creates the envelope in which a bus would publish an event, for a test.
    ///
    /// - Parameters:
    ///   - event: The event.
    ///   - options: The options of the publish, such as the id and the headers.
    ///   - codec: The codec that encodes the event. Defaults to JSON.
    public init<E: Event>(
        of event: E,
        options: PublishOptions = .init(),
        codec: any EventCodec = JSONEventCodec()
    ) throws {
        try self.init(event, options: options, codec: codec)
    }
}

extension ReceivedEvent {
    /// Creates an event as the handler of a subscription by pattern receives it, for a test that calls the handler
    /// directly.
    ///
    /// ```swift
    /// try await audit(ReceivedEvent(of: order), EventContext(handling: order))
    /// ```
    public init<E: Event>(of event: E, headers: EventHeaders = [:]) throws {
        self.init(try Envelope(of: event, options: .init(headers: headers)))
    }

    /// Creates a received event from an envelope, for a test. For example, its payload may be one that cannot be decoded.
    ///
    /// - Parameters:
    ///   - envelope: The event in its wire format.
    ///   - codec: The codec that decodes the event. Defaults to JSON.
    public init(_ envelope: Envelope, codec: any EventCodec = JSONEventCodec()) {
        self.init(envelope: envelope, codec: codec)
    }
}

extension OutgoingEvent {
    /// Creates an event as publish middleware receives it, for a test that calls the middleware directly.
    ///
    /// ```swift
    /// let receipt = try await TenantHeader().publish(
    ///     OutgoingEvent(of: order),
    ///     next: PublishNext { event in
    ///         #expect(event.envelope.headers["tenant"] == "acme")
    ///         return PublishReceipt(id: event.envelope.id, outcome: .routed)
    ///     }
    /// )
    /// ```
    ///
    /// Its deadline is far in the future.
    public init<E: Event>(of event: E, options: PublishOptions = .init()) throws {
        self.init(
            envelope: try Envelope(of: event, options: options),
            options: TransportPublishOptions(
                deadline: AnyClock.Instant(offset: options.deadline ?? .longest),
                delay: options.delay,
                expiration: options.expiration,
                priority: options.priority
            )
        )
    }
}
