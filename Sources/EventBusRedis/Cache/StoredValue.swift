import EventBus

/// The bytes of a value as an entry stores them.
struct StoredValue: Hashable, Sendable {
    let bytes: [UInt8]
    /// The decompressed size, or `nil` if the bytes are not compressed.
    let inflatedSize: Int?

    init(bytes: [UInt8], inflatedSize: Int? = nil) {
        self.bytes = bytes
        self.inflatedSize = inflatedSize
    }

    /// Compresses `bytes` if they have at least `threshold` bytes and become smaller by that.
    init(encoded bytes: [UInt8], compressingFrom threshold: Int?) {
        if let threshold, bytes.count >= threshold, let compressed = Deflate.compressed(bytes) {
            self.init(bytes: compressed, inflatedSize: bytes.count)
        } else {
            self.init(bytes: bytes)
        }
    }

    /// Returns the bytes as the codec encoded them, or `nil` if they are invalid or have more than `limit` bytes.
    func encoded(limit: Int) -> [UInt8]? {
        guard let inflatedSize else { return bytes }
        return Deflate.inflated(bytes, to: inflatedSize, limit: limit)
    }
}
