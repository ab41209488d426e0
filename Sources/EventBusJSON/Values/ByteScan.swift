/// Eight bytes of text, examined at once.
///
/// The methods answer for all bytes before and including the first match, which is all that callers use.
struct EightBytes {
    var bits: UInt64

    /// Loads the eight bytes at `pointer`, all of which the caller has to own.
    @inline(__always)
    init(at pointer: UnsafePointer<UInt8>) {
        bits = UInt64(littleEndian: UnsafeRawPointer(pointer).loadUnaligned(as: UInt64.self))
    }

    private static let ones: UInt64 = 0x0101_0101_0101_0101
    private static let highs: UInt64 = 0x8080_8080_8080_8080

    /// The high bit of each quotation mark, backslash and control character.
    @inline(__always)
    var specials: UInt64 {
        let quotes = bits ^ (Self.ones &* 0x22)
        let backslashes = bits ^ (Self.ones &* 0x5c)
        let found =
            ((quotes &- Self.ones) & ~quotes) | ((backslashes &- Self.ones) & ~backslashes)
            | ((bits &- (Self.ones &* 0x20)) & ~bits)
        return found & Self.highs
    }

    /// The high bit of each byte outside of ASCII.
    @inline(__always)
    var nonASCII: UInt64 { bits & Self.highs }
}

/// A Boolean value that indicates whether `byte` cannot stand in a JSON string without an escape.
@inline(__always)
func isSpecialInString(_ byte: UInt8) -> Bool {
    byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
}
