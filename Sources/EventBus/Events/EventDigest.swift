/// A digest of the parts of an event, for an identity that is derived from them.
///
/// Each part is written with its length or kind, so that no two lists of parts have the same bytes.
package struct EventDigest {
    private var hash = SHA256()

    /// Creates the digest of nothing.
    package init() {}

    /// Appends a text.
    package mutating func append(_ text: String) {
        let utf8 = text.utf8
        append(UInt64(utf8.count))
        hash.append(utf8.span)
    }

    /// Appends a text that may be missing, which differs from an empty one.
    package mutating func append(optional text: String?) {
        hash.append(text == nil ? 0 : 1 as UInt8)
        append(text ?? "")
    }

    /// Appends a number.
    package mutating func append(_ number: UInt64) {
        hash.append(number)
    }

    /// Appends bytes.
    package mutating func append(_ bytes: [UInt8]) {
        append(UInt64(bytes.count))
        hash.append(bytes.span)
    }

    /// Appends headers, whose order does not matter.
    package mutating func append(_ headers: HeaderTable) {
        append(UInt64(headers.count))
        let sorted = headers.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        for (name, value) in sorted {
            append(name)
            append(value)
        }
    }

    private mutating func append(_ value: HeaderValue) {
        func kind(_ number: UInt8) { hash.append(number) }
        switch value {
        case .null:
            kind(0)
        case .string(let text):
            kind(1)
            append(text)
        case .int(let number):
            kind(2)
            append(UInt64(bitPattern: number))
        case .double(let number):
            kind(3)
            append(number.bitPattern)
        case .bool(let isTrue):
            kind(4)
            append(isTrue ? 1 : 0 as UInt64)
        case .bytes(let bytes):
            kind(5)
            append(bytes)
        case .timestamp(let seconds):
            kind(6)
            append(UInt64(bitPattern: seconds))
        case .array(let values):
            kind(7)
            append(UInt64(values.count))
            for value in values { append(value) }
        case .table(let values):
            kind(8)
            append(values)
        }
    }

    /// Returns the digest as an identity: a UUID of version 8 (RFC 9562, section 5.8) from a SHA-256 hash.
    package consuming func id() -> EventID {
        let words = hash.finish()
        let high = UInt64(words[0]) << 32 | UInt64(words[1])
        let low = UInt64(words[2]) << 32 | UInt64(words[3])
        return EventID(
            high: high & 0xFFFF_FFFF_FFFF_0FFF | 0x8000,
            low: low & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        )
    }
}
