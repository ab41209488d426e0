import EventBus

extension Envelope {
    /// Checks for content that must not be sent with a restored dead letter.
    ///
    /// The event may be that of a foreign client, which names its headers as it likes and may fill a frame with them. So
    /// their lengths are limited only by the wire, unlike those of a new event.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidEnvelope`, which names the field.
    func validateForRestoring() throws(EventBusError) {
        var envelope = self
        envelope.headers = EventHeaders()
        try envelope.validate()
        for (name, value) in headers.values {
            guard WireHeaders.isUsers(name) else {
                throw EventBusError(
                    .invalidEnvelope,
                    "the header name \(name.quotedForError) is reserved for the bus or the broker"
                )
            }
            guard value.isSendable(atDepth: 0) else {
                throw EventBusError(
                    .invalidEnvelope,
                    "header \(name.quotedForError) contains a number that is not finite, or arrays and tables more than "
                        + "\(HeaderValue.maximumDepth) deep"
                )
            }
        }
    }
}

extension HeaderValue {
    /// Returns a Boolean value indicating whether the broker accepts the value.
    fileprivate func isSendable(atDepth depth: Int) -> Bool {
        switch self {
        case .string, .int, .bool, .bytes, .timestamp, .null: true
        case .double(let number): number.isFinite
        case .array(let values):
            depth < Self.maximumDepth && values.allSatisfy { $0.isSendable(atDepth: depth + 1) }
        case .table(let values):
            depth < Self.maximumDepth && values.allSatisfy { $0.value.isSendable(atDepth: depth + 1) }
        }
    }
}
