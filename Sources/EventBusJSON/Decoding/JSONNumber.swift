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
    /// Digits before the point are never lost. As in Foundation, a fraction is ignored if the nearest `Double` has none.
    func integer<Value: FixedWidthInteger>(of text: UnsafeBufferPointer<UInt8>, as type: Value.Type) -> Value? {
        if isZero { return 0 }
        guard let (magnitude, hasFraction) = integerPart(of: text) else { return nil }
        if hasFraction {
            guard let nearest = Double(String(decoding: text, as: UTF8.self)), nearest == nearest.rounded() else {
                return nil
            }
            if nearest.magnitude < 0x1p53 { return Value(exactly: nearest) }
        }
        guard isNegative else { return Value(exactly: magnitude) }
        if let positive = Int128(exactly: magnitude) { return Value(exactly: -positive) }
        return magnitude == UInt128(1) << 127 ? Value(exactly: Int128.min) : nil
    }

    /// Returns the digits before the point of a number other than zero, after the point was moved by the exponent, or
    /// `nil` if no type holds them.
    private func integerPart(of text: UnsafeBufferPointer<UInt8>) -> (magnitude: UInt128, hasFraction: Bool)? {
        let end = text.firstIndex { $0 | 0x20 == UInt8(ascii: "e") } ?? text.endIndex
        let significand = text[(isNegative ? 1 : 0)..<end]
        let decimals = significand.firstIndex(of: UInt8(ascii: ".")).map { end - $0 - 1 }
        let digits = significand.count - (decimals == nil ? 0 : 1)
        // The number of digits before the point, which may be negative or more than there are.
        let point = digits - (decimals ?? 0) + writtenExponent(of: text)
        var magnitude: UInt128 = 0
        var hasFraction = false
        var index = 0
        for byte in significand where byte != UInt8(ascii: ".") {
            if index < point {
                guard let next = magnitude.timesTen(plus: byte &- UInt8(ascii: "0")) else { return nil }
                magnitude = next
            } else if byte != UInt8(ascii: "0") {
                hasFraction = true
            }
            index += 1
        }
        // Ends soon, because the digits are not all zeros.
        while index < point {
            guard let next = magnitude.timesTen(plus: 0) else { return nil }
            magnitude = next
            index += 1
        }
        return (magnitude, hasFraction)
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
