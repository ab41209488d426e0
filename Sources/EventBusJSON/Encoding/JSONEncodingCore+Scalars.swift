extension JSONEncodingCore {
    /// Writes `string` in quotation marks.
    @inline(__always)
    mutating func write(string: String) {
        var string = string
        // A pointer to `self` must not be used inside the closure because `self` is being mutated, so a method copies
        // the text.
        string.withUTF8 { writeString($0) }
    }

    @inline(__always)
    private mutating func writeString(_ utf8: UnsafeBufferPointer<UInt8>) {
        let length = utf8.count
        reserve(length &+ 2)
        put(UInt8(ascii: "\""))
        guard let source = utf8.baseAddress, length > 0 else { return put(UInt8(ascii: "\"")) }
        // There is room for `length` bytes at `target`. Loads and stores overlap rather than exceed them.
        let target = UnsafeMutableRawPointer(bytes + count)
        var isClean = true
        if length >= 8 {
            var at = 0
            while isClean, at &+ 8 < length {
                let eight = EightBytes(at: source + at)
                target.storeBytes(of: eight.bits.littleEndian, toByteOffset: at, as: UInt64.self)
                isClean = eight.specials == 0
                at &+= 8
            }
            let last = EightBytes(at: source + (length &- 8))
            target.storeBytes(of: last.bits.littleEndian, toByteOffset: length &- 8, as: UInt64.self)
            isClean = isClean && last.specials == 0
        } else {
            for at in 0..<length {
                bytes[count &+ at] = source[at]
                if isSpecialInString(source[at]) { isClean = false }
            }
        }
        if isClean { count &+= length } else { writeEscaped(source, length) }
        reserve(1)
        put(UInt8(ascii: "\""))
    }

    @inline(never)
    private mutating func writeEscaped(_ source: UnsafePointer<UInt8>, _ length: Int) {
        var at = 0
        while at < length {
            // Room for eight bytes at a time, or for the longest escape. A store may write more bytes than are counted.
            reserve(8)
            if at &+ 8 <= length {
                let eight = EightBytes(at: source + at)
                UnsafeMutableRawPointer(bytes + count).storeBytes(of: eight.bits.littleEndian, as: UInt64.self)
                let clean = eight.specials.trailingZeroBitCount >> 3
                at &+= clean
                count &+= clean
                if clean == 8 { continue }
                reserve(8)
            }
            let byte = source[at]
            at &+= 1
            guard isSpecialInString(byte) else {
                put(byte)
                continue
            }
            put(UInt8(ascii: "\\"))
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): put(byte)
            case 0x08: put(UInt8(ascii: "b"))
            case 0x09: put(UInt8(ascii: "t"))
            case 0x0a: put(UInt8(ascii: "n"))
            case 0x0c: put(UInt8(ascii: "f"))
            case 0x0d: put(UInt8(ascii: "r"))
            default:
                put(UInt8(ascii: "u"))
                put(UInt8(ascii: "0"))
                put(UInt8(ascii: "0"))
                put(UInt8(ascii: "0") + byte >> 4)
                put(byte & 15 < 10 ? UInt8(ascii: "0") + byte & 15 : UInt8(ascii: "a") + byte & 15 - 10)
            }
        }
    }

    @inline(__always)
    mutating func write(_ value: Bool) {
        write(value ? "true" : "false")
    }

    @inline(__always)
    mutating func write<Value: FixedWidthInteger>(integer value: Value) {
        if Value.bitWidth > 64 { return writeText(of: value) }
        write(magnitude: UInt64(truncatingIfNeeded: value.magnitude), isNegative: value < 0)
    }

    mutating func write(magnitude: UInt64, isNegative: Bool) {
        // The longest 64-bit integer has 20 digits, or 19 digits and a minus sign.
        reserve(21)
        if isNegative { put(UInt8(ascii: "-")) }
        let digits = Self.digits(of: magnitude)
        var rest = magnitude
        var at = count &+ digits
        count = at
        repeat {
            at &-= 1
            let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
            bytes[at] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: digit)
            rest = quotient
        } while rest > 0
    }

    @inline(__always)
    private static func digits(of magnitude: UInt64) -> Int {
        var digits = 1
        var limit: UInt64 = 10
        while magnitude >= limit {
            digits &+= 1
            let (next, overflow) = limit.multipliedReportingOverflow(by: 10)
            if overflow { break }
            limit = next
        }
        return digits
    }

    @inline(never)
    private mutating func writeText(of value: some CustomStringConvertible) {
        var text = value.description
        text.withUTF8 { write($0) }
    }

    /// Writes a finite number with the fewest digits that read back as `value`.
    mutating func write(_ value: Double) {
        // Numbers with up to four decimals and 15 digits, such as prices. `scaled` and 10,000 are exact, so the
        // division yields the double nearest to the decimal number, which is also the one that reading it yields. No
        // other decimal number of 15 digits reads as the same double, so none with fewer digits does.
        let scaled = (value * 10_000).rounded()
        guard scaled.magnitude < 1e15, scaled / 10_000 == value, scaled != 0 else {
            return writeDescription(of: value, isNegativeZero: value == 0 && value.sign == .minus)
        }
        var digits = UInt64(scaled.magnitude)
        var decimals = 4
        while decimals > 0, digits.isMultiple(of: 10) {
            digits /= 10
            decimals -= 1
        }
        guard decimals > 0 else { return write(magnitude: digits, isNegative: value < 0) }
        var power: UInt64 = 10
        for _ in 1..<decimals { power *= 10 }
        write(magnitude: digits / power, isNegative: value < 0)
        var fraction = digits % power
        reserve(decimals + 1)
        put(UInt8(ascii: "."))
        for position in stride(from: decimals - 1, through: 0, by: -1) {
            bytes[count + position] = UInt8(ascii: "0") + UInt8(fraction % 10)
            fraction /= 10
        }
        count += decimals
    }

    mutating func write(_ value: Float) {
        writeDescription(of: value, isNegativeZero: value == 0 && value.sign == .minus)
    }

    @inline(never)
    private mutating func writeDescription(of value: some BinaryFloatingPoint, isNegativeZero: Bool) {
        if value == 0 { return write(isNegativeZero ? "-0" : "0") }
        // The description is the shortest text that reads back as the same value.
        var text = "\(value)"
        text.withUTF8 { text in
            let hasPointZero =
                text.count > 2 && text[text.count - 1] == UInt8(ascii: "0")
                && text[text.count - 2] == UInt8(ascii: ".")
            write(hasPointZero ? UnsafeBufferPointer(rebasing: text.dropLast(2)) : text)
        }
    }
}
