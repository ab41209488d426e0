import CZlib

/// Compression and decompression in zlib's format (RFC 1950).
enum Deflate {
    /// The largest possible ratio of decompressed to compressed size. Data that claims more is invalid.
    private static let largestRatio = 1032

    /// Returns the compressed form of `bytes`, or `nil` if that would not be smaller by at least an eighth.
    static func compressed(_ bytes: [UInt8]) -> [UInt8]? {
        let room = bytes.count - bytes.count / 8
        guard room > 0 else { return nil }
        // The buffer is limited to that size, so a failed attempt uses no further memory.
        return filling(room) { target, length in
            // Speed over size, because the entry is written once while a caller waits for the value.
            bytes.withUnsafeBufferPointer { compress2(target, &length, $0.baseAddress, uLong($0.count), Z_BEST_SPEED) }
        }
    }

    /// Returns the decompressed form of `bytes` if its size is exactly `size` and at most `limit`, and `nil` otherwise.
    /// It never allocates more than `size` bytes.
    static func inflated(_ bytes: [UInt8], to size: Int, limit: Int) -> [UInt8]? {
        guard size > 0, size <= limit, size / largestRatio <= bytes.count else { return nil }
        let result = filling(size) { target, length in
            bytes.withUnsafeBufferPointer { uncompress(target, &length, $0.baseAddress, uLong($0.count)) }
        }
        return result?.count == size ? result : nil
    }

    private static func filling(
        _ room: Int,
        _ body: (_ target: UnsafeMutablePointer<Bytef>, _ length: inout uLongf) -> Int32
    ) -> [UInt8]? {
        var status = Z_BUF_ERROR
        let result = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            guard let target = buffer.baseAddress else { return }
            var length = uLongf(room)
            status = body(target, &length)
            count = status == Z_OK ? Int(length) : 0
        }
        return status == Z_OK ? result : nil
    }
}
