/// An amount of money in whole cents. On the wire it is a decimal string such as `"14.00"`: no binary fraction ever
/// touches it.
public struct Money: Hashable, Comparable, Sendable {
    /// The amount in cents.
    public var cents: Int64

    /// Nothing.
    public static let zero = Money(cents: 0)

    /// An amount in cents.
    public init(cents: Int64) {
        self.cents = cents
    }

    /// The amount that `text` stands for, with at most two digits after the point; `nil` if it stands for none.
    public init?(_ text: String) {
        guard let cents = FixedPoint.parse(text, fractionDigits: 2) else { return nil }
        self.cents = cents
    }

    /// Whether `lhs` is the smaller amount.
    public static func < (lhs: Money, rhs: Money) -> Bool { lhs.cents < rhs.cents }

    /// The sum of two amounts; the largest there is where it would be larger still.
    public static func + (lhs: Money, rhs: Money) -> Money {
        let (sum, overflows) = lhs.cents.addingReportingOverflow(rhs.cents)
        return Money(cents: overflows ? (rhs.cents < 0 ? .min : .max) : sum)
    }
}

extension Money: CustomStringConvertible {
    /// The amount as it stands on the wire.
    public var description: String { FixedPoint.text(cents, fractionDigits: 2) }
}

extension Money: Codable {
    /// Decodes an amount from a decimal string.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let money = Money(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\"\(text)\" is no amount of money")
        }
        self = money
    }

    /// Encodes the amount as a decimal string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
