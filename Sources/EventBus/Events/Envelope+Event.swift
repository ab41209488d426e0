extension Envelope {
    /// Creates the envelope of a new event that no handler publishes.
    init<E: Event>(
        _ event: E,
        options: PublishOptions,
        source: String?,
        codecs: CodecRegistry
    ) throws(EventBusError) {
        let time = EventTime.now()
        let id = options.id ?? EventID(at: time)
        self.init(
            id: id,
            topic: try event.resolveTopic(),
            payload: try codecs.encode(event),
            contentType: codecs.encoder.contentType,
            version: E.version,
            time: time,
            source: source,
            correlationID: options.correlationID ?? CorrelationID(id),
            partitionKey: options.partitionKey ?? event.partitionKey,
            headers: options.headers
        )
    }

    /// Creates the envelope of a new event, encoded by `codec`.
    package init<E: Event>(_ event: E, options: PublishOptions, codec: any EventCodec) throws(EventBusError) {
        try self.init(event, options: options, source: nil, codecs: CodecRegistry(encoder: codec, others: []))
    }
}
