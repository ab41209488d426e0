/// A group of eight bytes of text that are examined together.
///
/// The results are valid for all bytes up to and including the first match, which is all that callers use.
struct EightBytes {
    var bits: UInt64

    /// Loads the eight bytes at `pointer`, all of which must be readable.
    @inline(__always)
    init(at pointer: UnsafePointer<UInt8>) {
        bits = UInt64(littleEndian: UnsafeRawPointer(pointer).loadUnaligned(as: UInt64.self))
    }

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The high bit of each byte that is a quotation mark, backslash or control character.
    @inline(__always)
    var specials: UInt64 {
        let quotes = bits ^ (Self.ones &* 0x22)
        let backslashes = bits ^ (Self.ones &* 0x5c)
        let found =
            ((quotes &- Self.ones) & ~quotes) | ((backslashes &- Self.ones) & ~backslashes)
            | ((bits &- (Self.ones &* 0x20)) & ~bits)
        return found & Self.highs
    }

    /// The high bit of each byte outside ASCII.
    @inline(__always)
    var nonASCII: UInt64 { bits & Self.highs }
}

/// Returns a Boolean value indicating whether `byte` must be escaped in a JSON string.
@inline(__always)
func isSpecialInString(_ byte: UInt8) -> Bool {
    byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
}
