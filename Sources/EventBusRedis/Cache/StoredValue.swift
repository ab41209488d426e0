import EventBus

/// The bytes of a value as an entry holds them.
struct StoredValue: Hashable, Sendable {
    let bytes: [UInt8]
    /// How many bytes they stand for, where they are compressed.
    let inflatedSize: Int?

    init(bytes: [UInt8], inflatedSize: Int? = nil) {
        self.bytes = bytes
        self.inflatedSize = inflatedSize
    }

    /// Compresses what has `threshold` bytes or more, where that makes it smaller.
    init(encoded bytes: [UInt8], compressingFrom threshold: Int?) {
        if let threshold, bytes.count >= threshold, let compressed = Deflate.compressed(bytes) {
            self.init(bytes: compressed, inflatedSize: bytes.count)
        } else {
            self.init(bytes: bytes)
        }
    }

    /// What the codec has encoded; `nil` if the bytes are not what they claim to be, or if it has more than `limit` bytes.
    func encoded(limit: Int) -> [UInt8]? {
        guard let inflatedSize else { return bytes }
        return Deflate.inflated(bytes, to: inflatedSize, limit: limit)
    }
}
