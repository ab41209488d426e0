import TerminalText

/// The fraction of a price that the customer does not pay, in ten-thousandths. On the wire it is a decimal string such
/// as `"0.15"`.
public struct Discount: Hashable, Sendable {
    /// The fraction in ten-thousandths, from 0 to 10,000.
    public let basisPoints: Int64

    /// No discount.
    public static let none = Discount(uncheckedBasisPoints: 0)

    /// Creates a discount in ten-thousandths. Returns `nil` if it is not from 0 to 10,000.
    public init?(basisPoints: Int64) {
        guard (0...10_000).contains(basisPoints) else { return nil }
        self.basisPoints = basisPoints
    }

    /// Creates a discount from a text such as `0.15`. Returns `nil` if it is not a number from 0 to 1.
    public init?(_ text: String) {
        guard let basisPoints = FixedPoint.parse(text, fractionDigits: 4) else { return nil }
        self.init(basisPoints: basisPoints)
    }

    private init(uncheckedBasisPoints: Int64) {
        basisPoints = uncheckedBasisPoints
    }
}

extension Discount: CustomStringConvertible {
    /// The discount in its wire format.
    public var description: String {
        basisPoints.isMultiple(of: 100)
            ? FixedPoint.text(basisPoints / 100, fractionDigits: 2) : FixedPoint.text(basisPoints, fractionDigits: 4)
    }
}

extension Discount: Codable {
    /// Decodes a discount from a decimal string.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let discount = Discount(text) else {
            throw DecodingError.dataCorruptedError(
                in: container,
                debugDescription: "\"\(text.cut(toUTF8Length: 50).printable)\" is no discount from 0 to 1"
            )
        }
        self = discount
    }

    /// Encodes the discount as a decimal string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
