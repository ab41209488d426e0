/// The encodings in which a JSON text is accepted: UTF-8, UTF-16 and UTF-32, with or without a byte order mark.
///
/// Without a mark the encoding follows from the zero bytes among the first four, because a JSON text begins with an ASCII
/// character (RFC 4627, section 3). Bytes at the end that are no complete unit are ignored.
enum JSONTextEncoding {
    /// Calls `body` with `bytes` as UTF-8, without a byte order mark. Text that is UTF-8 already is not copied.
    @inline(__always)
    static func withUTF8<Result>(
        _ bytes: UnsafeBufferPointer<UInt8>,
        _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
    ) throws -> Result {
        // Every UTF-8 text of JSON begins with an ASCII byte that is not followed by a zero.
        if bytes.count >= 2, bytes[0] &- 1 < 0x7f, bytes[1] != 0 { return try body(bytes) }
        return try withConverted(bytes, body)
    }

    @inline(never)
    private static func withConverted<Result>(
        _ bytes: UnsafeBufferPointer<UInt8>,
        _ body: (UnsafeBufferPointer<UInt8>) throws -> Result
    ) throws -> Result {
        let first = bytes.prefix(4).map(Int.init)
        let at = { (index: Int) in index < first.count ? first[index] : -1 }
        let (b0, b1, b2, b3) = (at(0), at(1), at(2), at(3))
        let text: String?
        let name: String
        switch (b0, b1, b2, b3) {
        case (0xef, 0xbb, 0xbf, _):
            return try body(UnsafeBufferPointer(rebasing: bytes.dropFirst(3)))
        case (0, 0, 0xfe, 0xff): (text, name) = (utf32(bytes.dropFirst(4), isBigEndian: true), "UTF-32")
        case (0xff, 0xfe, 0, 0): (text, name) = (utf32(bytes.dropFirst(4), isBigEndian: false), "UTF-32")
        case (0xfe, 0xff, _, _): (text, name) = (utf16(bytes.dropFirst(2), isBigEndian: true), "UTF-16")
        case (0xff, 0xfe, _, _): (text, name) = (utf16(bytes.dropFirst(2), isBigEndian: false), "UTF-16")
        case (0, 0, 0, 1...): (text, name) = (utf32(bytes[...], isBigEndian: true), "UTF-32")
        case (1..., 0, 0, 0): (text, name) = (utf32(bytes[...], isBigEndian: false), "UTF-32")
        case (0, 1..., 0, 1...), (0, 1..., -1, -1): (text, name) = (utf16(bytes[...], isBigEndian: true), "UTF-16")
        case (1..., 0, 1..., 0), (1..., 0, -1, -1): (text, name) = (utf16(bytes[...], isBigEndian: false), "UTF-16")
        default:
            return try body(bytes)
        }
        guard var text else { throw JSONSyntaxError(.undecodableText(name)) }
        return try text.withUTF8(body)
    }

    private static func utf16(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, isBigEndian: Bool) -> String? {
        let high = isBigEndian ? 0 : 1
        let units = stride(from: bytes.startIndex, to: bytes.endIndex - bytes.count % 2, by: 2).map { index in
            UInt16(bytes[index + high]) << 8 | UInt16(bytes[index + 1 - high])
        }
        return String(validating: units, as: UTF16.self)
    }

    private static func utf32(_ bytes: Slice<UnsafeBufferPointer<UInt8>>, isBigEndian: Bool) -> String? {
        let units = stride(from: bytes.startIndex, to: bytes.endIndex - bytes.count % 4, by: 4).map { index in
            (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(bytes[index + (isBigEndian ? $1 : 3 - $1)]) }
        }
        return String(validating: units, as: UTF32.self)
    }
}
