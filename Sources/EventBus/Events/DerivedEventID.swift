/// The identity of an event that a handler publishes, with its place among equal events of the attempt.
struct DerivedEventID: Sendable {
    let id: EventID
    /// The identity of the first of the equal events.
    let first: EventID
    /// The number of equal events that the attempt has published before.
    let position: Int
}

extension EventID {
    /// Creates the identity of an event that a handler publishes.
    ///
    /// Another attempt to handle the same event derives the same identities for the same events.
    ///
    /// - Parameters:
    ///   - handled: The identity and topic of the event that is being handled.
    ///   - subscription: The name of the handler's queue.
    ///   - event: The event to publish. Its topic, version, partition key, payload and headers count, without those of
    ///     the trace.
    ///   - options: The options of the publish. The delay and the expiration count.
    ///   - position: The number of equal events that the attempt has published before.
    init(
        handled: (id: EventID, topic: Topic),
        subscription: String,
        event: Envelope,
        options: PublishOptions,
        position: Int
    ) {
        var digest = EventDigest()
        digest.append(handled.topic.rawValue)
        digest.append(handled.id.rawValue)
        digest.append(subscription)
        digest.append(event.topic.rawValue)
        digest.append(UInt64(bitPattern: Int64(event.version)))
        digest.append(optional: event.partitionKey)
        digest.append(event.payload)
        digest.append(UInt64(position))
        let headers = event.headers.values.filter { InheritedTrace.maximumLengths[$0.name] == nil }
        // Most events have none of them, and keep the identities of earlier releases.
        if !headers.isEmpty || options.delay != .zero || options.expiration != nil {
            digest.append(headers)
            digest.append(UInt64(bitPattern: options.delay.inNanoseconds))
            digest.append(UInt64(bitPattern: options.expiration?.inNanoseconds ?? -1))
        }
        self = digest.id()
    }

    /// Creates the identity of an event from a text that identifies it, or returns `nil` if the text is blank.
    ///
    /// A text that is too long for an identifier, or that contains control characters, is replaced by a digest of it.
    init?(identifying text: String) {
        let id = EventID(text)
        if id.isBlank { return nil }
        self = id.portable
    }
}
