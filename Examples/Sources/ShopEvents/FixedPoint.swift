/// The conversion between decimal text and an integer in units of the last digit.
enum FixedPoint {
    /// Returns the value of `text` in units of 10^-`fractionDigits`. Returns `nil` if it is no plain decimal number,
    /// has more digits after the point, or is too large.
    static func parse(_ text: String, fractionDigits: Int) -> Int64? {
        var digits = text.utf8[...]
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative { digits.removeFirst() }
        let parts = digits.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
        guard let whole = parts.first, !whole.isEmpty else { return nil }
        let fraction = parts.dropFirst().first
        if let fraction, fraction.isEmpty || fraction.count > fractionDigits { return nil }
        let padding = repeatElement(UInt8(ascii: "0"), count: fractionDigits - (fraction?.count ?? 0))
        var value: Int64 = 0
        for byte in Array(whole) + Array(fraction ?? ""[...].utf8) + padding {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
            let (shifted, overflows) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowsToo) = shifted.addingReportingOverflow(Int64(byte - UInt8(ascii: "0")))
            if overflows || overflowsToo { return nil }
            value = sum
        }
        return isNegative ? -value : value
    }

    /// Returns `value` units of 10^-`fractionDigits` as a decimal number.
    static func text(_ value: Int64, fractionDigits: Int) -> String {
        let digits = String(value.magnitude)
        let padded = String(repeating: "0", count: max(0, fractionDigits + 1 - digits.count)) + digits
        return (value < 0 ? "-" : "") + padded.dropLast(fractionDigits) + "." + padded.suffix(fractionDigits)
    }
}
