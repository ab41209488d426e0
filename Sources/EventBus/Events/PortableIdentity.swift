extension EventID {
    /// The identifier in a form that every transport and store accepts: one that is too long or contains control characters
    /// is replaced by a digest of it.
    ///
    /// Events that a handler publishes refer to identifiers that the publisher of the handled event has chosen.
    package var portable: EventID {
        if uuid != nil { return self }
        let text = rawValue
        return text.isPortable ? self : EventID(digestOf: text)
    }

    /// Creates an identity that is the digest of a text.
    init(digestOf text: String) {
        var digest = EventDigest()
        digest.append(text)
        self = digest.id()
    }
}

extension Envelope {
    /// The event with those foreign values replaced that could not be published again: the correlation id, the causation id
    /// and the partition key by digests, and numbers in headers that are not finite by texts.
    package var portable: Envelope {
        var envelope = self
        envelope.correlationID = correlationID?.portable
        envelope.causationID = causationID?.portable
        for (name, value) in headers.values {
            if let portable = value.portable { envelope.headers[name] = portable }
        }
        if let key = partitionKey, key.utf8.count > TransportLimits.maximumTextLength {
            envelope.partitionKey = EventID(digestOf: key).rawValue
        }
        return envelope
    }
}

extension HeaderValue {
    /// The value with texts instead of numbers that are not finite, or `nil` if it contains none.
    fileprivate var portable: HeaderValue? {
        switch self {
        case .string, .int, .bool, .bytes, .timestamp, .null:
            return nil
        case .double(let number):
            return number.isFinite ? nil : .string("\(number)")
        case .array(var values):
            var isChanged = false
            for index in values.indices {
                guard let portable = values[index].portable else { continue }
                values[index] = portable
                isChanged = true
            }
            return isChanged ? .array(values) : nil
        case .table(var table):
            var isChanged = false
            for (name, value) in table {
                guard let portable = value.portable else { continue }
                table[name] = portable
                isChanged = true
            }
            return isChanged ? .table(table) : nil
        }
    }
}

extension String {
    /// A Boolean value indicating whether the text can be an identifier everywhere.
    var isPortable: Bool {
        utf8.count <= EventID.maximumLength && !hasControlCharacters
    }

    /// A Boolean value indicating whether the text contains one of the control characters of ASCII.
    var hasControlCharacters: Bool { utf8.contains { $0 < 0x20 || $0 == 0x7F } }
}
