import CZlib

/// Bytes made smaller, and back again (zlib's format: RFC 1950).
enum Deflate {
    /// What one byte can become at most. Who claims more is lying.
    private static let largestRatio = 1032

    /// Smaller bytes that stand for `bytes`; `nil` if they would not be smaller by an eighth.
    static func compressed(_ bytes: [UInt8]) -> [UInt8]? {
        let room = bytes.count - bytes.count / 8
        guard room > 0 else { return nil }
        // Finding out that they do not fit costs no memory beyond that.
        return filling(room) { target, length in
            // Speed over size: the entry is written once, and the time is that of whoever waits for the value.
            bytes.withUnsafeBufferPointer { compress2(target, &length, $0.baseAddress, uLong($0.count), Z_BEST_SPEED) }
        }
    }

    /// The bytes that `bytes` stand for, if they are `size` in number; `nil` if they are not, or if that is more than
    /// `limit`. No more than `size` is taken up, whatever the bytes say.
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
