/// A number of a JSON text, read by the grammar of RFC 8259.
struct JSONNumber {
    private(set) var isNegative = false
    /// The first 19 significant digits.
    private(set) var significand: UInt64 = 0
    /// The power of ten to multiply `significand` by.
    private(set) var exponent = 0
    /// A Boolean value indicating whether nonzero digits were left out of `significand`.
    private(set) var isTruncated = false

    /// Parses `text`, which starts at `offset` in the JSON text and contains the whole number.
    init(_ text: UnsafeBufferPointer<UInt8>, at offset: Int) throws(JSONSyntaxError) {
        var at = 0
        let end = text.count
        if at < end, text[at] == UInt8(ascii: "-") {
            isNegative = true
            at &+= 1
        }
        var significant = 0
        let integer = at
        while at < end, text[at] &- UInt8(ascii: "0") < 10 {
            if significant < 19 {
                significand = significand &* 10 &+ UInt64(text[at] &- UInt8(ascii: "0"))
                if significand != 0 { significant &+= 1 }
            } else {
                exponent &+= 1
                if text[at] != UInt8(ascii: "0") { isTruncated = true }
            }
            at &+= 1
        }
        if at &- integer > 1, text[integer] == UInt8(ascii: "0") { throw JSONSyntaxError(.leadingZero, at: offset) }
        var digits = at &- integer
        if digits > 0, at < end, text[at] == UInt8(ascii: ".") {
            at &+= 1
            let fraction = at
            while at < end, text[at] &- UInt8(ascii: "0") < 10 {
                if significant < 19 {
                    significand = significand &* 10 &+ UInt64(text[at] &- UInt8(ascii: "0"))
                    if significand != 0 { significant &+= 1 }
                    exponent &-= 1
                } else if text[at] != UInt8(ascii: "0") {
                    isTruncated = true
                }
                at &+= 1
            }
            digits = at &- fraction
        }
        if digits > 0, at < end, text[at] | 0x20 == UInt8(ascii: "e") {
            at &+= 1
            var isNegativeExponent = false
            if at < end, text[at] == UInt8(ascii: "+") || text[at] == UInt8(ascii: "-") {
                isNegativeExponent = text[at] == UInt8(ascii: "-")
                at &+= 1
            }
            let first = at
            var written = 0
            while at < end, text[at] &- UInt8(ascii: "0") < 10 {
                // Far more than any type holds. The sum below cannot overflow because a text is shorter than 2^32
                // bytes.
                written = min(written * 10 + Int(text[at] &- UInt8(ascii: "0")), 1 << 40)
                at &+= 1
            }
            digits = at &- first
            exponent += isNegativeExponent ? -written : written
        }
        guard digits > 0, at == end else {
            guard at < end else {
                throw JSONSyntaxError(
                    .unexpected(text[end - 1], context: "at the end of a number"),
                    at: offset + end - 1
                )
            }
            throw JSONSyntaxError(.unexpected(text[at], context: "in a number"), at: offset + at)
        }
    }

    private var isZero: Bool { significand == 0 && !isTruncated }

    /// The nearest `Double`, computed without double rounding by Clinger's fast path, or `nil` if the fast path does
    /// not apply.
    var fastDouble: Double? {
        // Both operands are exact, because integers up to 2^53 and powers of ten up to 10^22 are doubles. One operation
        // therefore rounds once, to the nearest value.
        guard !isTruncated, significand <= 1 << 53, -22...22 ~= exponent else {
            return isZero ? (isNegative ? -0.0 : 0) : nil
        }
        let magnitude = Double(significand)
        let value = exponent < 0 ? magnitude / powersOfTen[-exponent] : magnitude * powersOfTen[exponent]
        return isNegative ? -value : value
    }

    /// Returns the integer that `text`, already parsed as this number, represents, or `nil` if it is no integer or does
    /// not fit.
    ///
    /// The result is exact: no digit is lost, whatever the fraction and the exponent.
    func integer<Value: FixedWidthInteger>(of text: UnsafeBufferPointer<UInt8>, as type: Value.Type) -> Value? {
        if isZero { return 0 }
        var magnitude: UInt128 = 0
        // The number of digits, not counting the point, leading zeros and trailing zeros.
        var count = 0
        var zeros = 0
        var fractionDigits = 0
        var isFraction = false
        loop: for byte in text {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                if isFraction { fractionDigits += 1 }
                if byte == UInt8(ascii: "0") {
                    if count > 0 { zeros += 1 }
                    continue
                }
                // No type has more than 39 digits.
                guard count + zeros < 39 else { return nil }
                for _ in 0..<zeros {
                    guard let product = magnitude.timesTen(plus: 0) else { return nil }
                    magnitude = product
                }
                guard let sum = magnitude.timesTen(plus: byte &- UInt8(ascii: "0")) else { return nil }
                magnitude = sum
                count += zeros + 1
                zeros = 0
            case UInt8(ascii: "."): isFraction = true
            case UInt8(ascii: "e"), UInt8(ascii: "E"): break loop
            default: break
            }
        }
        var scale = zeros - fractionDigits + writtenExponent(of: text)
        guard scale >= 0, scale + count <= 39 else { return nil }
        while scale > 0 {
            guard let product = magnitude.timesTen(plus: 0) else { return nil }
            magnitude = product
            scale -= 1
        }
        guard isNegative else { return Value(exactly: magnitude) }
        if let positive = Int128(exactly: magnitude) { return Value(exactly: -positive) }
        return magnitude == UInt128(1) << 127 ? Value(exactly: Int128.min) : nil
    }

    private func writtenExponent(of text: UnsafeBufferPointer<UInt8>) -> Int {
        guard let letter = text.firstIndex(where: { $0 | 0x20 == UInt8(ascii: "e") }) else { return 0 }
        var value = 0
        for byte in text[(letter + 1)...] where byte &- UInt8(ascii: "0") < 10 {
            value = min(value * 10 + Int(byte &- UInt8(ascii: "0")), 1 << 40)
        }
        return text[letter + 1] == UInt8(ascii: "-") ? -value : value
    }
}

extension UInt128 {
    fileprivate func timesTen(plus digit: UInt8) -> UInt128? {
        let (product, overflow) = multipliedReportingOverflow(by: 10)
        let (sum, carry) = product.addingReportingOverflow(UInt128(digit))
        return overflow || carry ? nil : sum
    }
}

/// The powers of ten that a `Double` holds exactly.
private let powersOfTen: [Double] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21,
    1e22,
]
