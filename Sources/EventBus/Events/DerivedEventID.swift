extension EventID {
    /// Creates the identity of an event that a handler publishes, as a UUID of version 8 (RFC 9562, section 5.8) from a
    /// SHA-256 hash.
    ///
    /// Another attempt to handle the same event derives the same identities for the same events.
    ///
    /// - Parameters:
    ///   - handled: The identity and topic of the event that is being handled.
    ///   - subscription: The name of the handler's queue.
    ///   - event: The event to publish. Its topic, version, partition key and payload count.
    ///   - position: The number of equal events that the attempt has published before.
    init(handled: (id: EventID, topic: Topic), subscription: String, event: Envelope, position: Int) {
        var hash = SHA256()
        // With the length of each part, so that no two lists of parts have the same bytes.
        hash.append(text: handled.topic.rawValue)
        hash.append(text: handled.id.rawValue)
        hash.append(text: subscription)
        hash.append(text: event.topic.rawValue)
        hash.append(UInt64(bitPattern: Int64(event.version)))
        hash.append(event.partitionKey == nil ? 0 : 1 as UInt8)
        hash.append(text: event.partitionKey ?? "")
        hash.append(UInt64(event.payload.count))
        hash.append(event.payload.span)
        hash.append(UInt64(position))
        let words = hash.finish()
        let high = UInt64(words[0]) << 32 | UInt64(words[1])
        let low = UInt64(words[2]) << 32 | UInt64(words[3])
        self.init(
            high: high & 0xFFFF_FFFF_FFFF_0FFF | 0x8000,
            low: low & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        )
    }
}

extension SHA256 {
    fileprivate mutating func append(text: String) {
        let utf8 = text.utf8
        append(UInt64(utf8.count))
        append(utf8.span)
    }
}
