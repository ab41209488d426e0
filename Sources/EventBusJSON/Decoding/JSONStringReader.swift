/// A namespace for functions that create strings from the contents of JSON strings.
enum JSONStringReader {
    /// Returns the string with the given `content`, without quotation marks, which starts at `offset` in the text.
    @inline(__always)
    static func string(
        _ content: UnsafeBufferPointer<UInt8>,
        flags: JSONToken.Flags,
        at offset: Int
    ) throws(JSONSyntaxError) -> String {
        if flags == .simple { return String(decoding: content, as: UTF8.self) }
        if flags.contains(.simple) { return try validated(content, at: offset) }
        return try complexString(content, at: offset)
    }

    /// Returns the string of `bytes`.
    ///
    /// It does not use `String(validating:as:)`, which is generic and looks up metadata at run time. `String(decoding:as:)`
    /// is not, and replaces bytes that are not UTF-8.
    private static func validated(
        _ bytes: UnsafeBufferPointer<UInt8>,
        at offset: Int
    ) throws(JSONSyntaxError) -> String {
        var string = String(decoding: bytes, as: UTF8.self)
        let isUnchanged = string.withUTF8 { decoded in
            guard decoded.count == bytes.count, let left = decoded.baseAddress, let right = bytes.baseAddress else {
                return decoded.count == bytes.count
            }
            return haveEqualBytes(left, right, bytes.count)
        }
        guard isUnchanged else { throw JSONSyntaxError(.invalidUTF8, at: offset) }
        return string
    }

    @inline(never)
    private static func complexString(
        _ content: UnsafeBufferPointer<UInt8>,
        at offset: Int
    ) throws(JSONSyntaxError) -> String {
        // Unescaping never makes a string longer: the longest escape, \uXXXX, has six bytes and represents at most
        // three.
        let result = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: content.count) { bytes in
            Result { () throws(JSONSyntaxError) in
                let count = try unescape(content, at: offset, into: bytes)
                return try validated(UnsafeBufferPointer(rebasing: bytes[..<count]), at: offset)
            }
        }
        return try result.get()
    }

    /// Writes `content` without its escapes to `output`, which has the size of `content`, and returns the written
    /// bytes.
    private static func unescape(
        _ content: UnsafeBufferPointer<UInt8>,
        at offset: Int,
        into output: UnsafeMutableBufferPointer<UInt8>
    ) throws(JSONSyntaxError) -> Int {
        guard let source = content.baseAddress, let target = output.baseAddress else { return 0 }
        let end = content.count
        var at = 0
        var count = 0
        // `count` never exceeds `at`, so every write is within `output`.
        while at < end {
            while at &+ 8 <= end {
                let eight = EightBytes(at: source + at)
                UnsafeMutableRawPointer(target + count).storeBytes(of: eight.bits.littleEndian, as: UInt64.self)
                let clean = eight.specials.trailingZeroBitCount >> 3
                at &+= clean
                count &+= clean
                if clean < 8 { break }
            }
            guard at < end else { break }
            let byte = source[at]
            guard isSpecialInString(byte) else {
                target[count] = byte
                at &+= 1
                count &+= 1
                continue
            }
            guard byte == UInt8(ascii: "\\") else { throw JSONSyntaxError(.controlCharacter(byte), at: offset + at) }
            // The scanner has checked that a byte follows each backslash, and four bytes each "\u".
            let escaped = source[at &+ 1]
            at &+= 2
            switch escaped {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): target[count] = escaped
            case UInt8(ascii: "b"): target[count] = 0x08
            case UInt8(ascii: "f"): target[count] = 0x0c
            case UInt8(ascii: "n"): target[count] = 0x0a
            case UInt8(ascii: "r"): target[count] = 0x0d
            case UInt8(ascii: "t"): target[count] = 0x09
            case UInt8(ascii: "u"):
                let scalar = try scalar(content, &at, offset)
                for unit in UTF8.encode(scalar).unsafelyUnwrapped {
                    target[count] = unit
                    count &+= 1
                }
                continue
            default:
                throw JSONSyntaxError(.invalidEscape(escaped), at: offset + at - 1)
            }
            count &+= 1
        }
        return count
    }

    /// Returns the scalar of the escape whose hexadecimal digits start at `at`, combined with its low surrogate.
    private static func scalar(
        _ content: UnsafeBufferPointer<UInt8>,
        _ at: inout Int,
        _ offset: Int
    ) throws(JSONSyntaxError) -> Unicode.Scalar {
        let unit = try hexadecimal(content, &at, offset)
        if let scalar = Unicode.Scalar(unit) { return scalar }
        guard UTF16.isLeadSurrogate(unit) else { throw JSONSyntaxError(.loneSurrogate, at: offset + at - 6) }
        guard at + 6 <= content.count, content[at] == UInt8(ascii: "\\"), content[at + 1] == UInt8(ascii: "u") else {
            throw JSONSyntaxError(.missingLowSurrogate, at: offset + at - 6)
        }
        at += 2
        let low = try hexadecimal(content, &at, offset)
        guard UTF16.isTrailSurrogate(low) else { throw JSONSyntaxError(.missingLowSurrogate, at: offset + at - 12) }
        return UTF16.decode(UTF16.EncodedScalar([unit, low]))
    }

    private static func hexadecimal(
        _ content: UnsafeBufferPointer<UInt8>,
        _ at: inout Int,
        _ offset: Int
    ) throws(JSONSyntaxError) -> UInt16 {
        var value: UInt16 = 0
        for byte in content[at..<min(at + 4, content.count)] {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
            default: throw JSONSyntaxError(.invalidHexadecimal, at: offset + at - 2)
            }
            value = value << 4 | UInt16(digit)
        }
        guard at + 4 <= content.count else { throw JSONSyntaxError(.invalidHexadecimal, at: offset + at - 2) }
        at += 4
        return value
    }
}
