import TerminalText

/// An amount of money in whole cents. On the wire it is a decimal string such as `"14.00"`, so it is never converted to
/// a binary fraction.
public struct Money: Hashable, Comparable, Sendable {
    /// The amount in cents.
    public var cents: Int64

    /// An amount of zero.
    public static let zero = Money(cents: 0)

    /// Creates an amount in cents.
    public init(cents: Int64) {
        self.cents = cents
    }

    /// Creates an amount from a text with at most two digits after the point. Returns `nil` if it is invalid.
    public init?(_ text: String) {
        guard let cents = FixedPoint.parse(text, fractionDigits: 2) else { return nil }
        self.cents = cents
    }

    /// Returns a Boolean value indicating whether `lhs` is the smaller amount.
    public static func < (lhs: Money, rhs: Money) -> Bool { lhs.cents < rhs.cents }

    /// Returns the sum of two amounts, or the largest amount if the sum would be larger.
    public static func + (lhs: Money, rhs: Money) -> Money {
        let (sum, overflows) = lhs.cents.addingReportingOverflow(rhs.cents)
        return Money(cents: overflows ? (rhs.cents < 0 ? .min : .max) : sum)
    }
}

extension Money: CustomStringConvertible {
    /// The amount in its wire format.
    public var description: String { FixedPoint.text(cents, fractionDigits: 2) }
}

extension Money: Codable {
    /// Decodes an amount from a decimal string.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let money = Money(text) else {
            throw DecodingError.dataCorruptedError(
                in: container,
                debugDescription: "\"\(text.cut(toUTF8Length: 50).printable)\" is no amount of money"
            )
        }
        self = money
    }

    /// Encodes the amount as a decimal string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
