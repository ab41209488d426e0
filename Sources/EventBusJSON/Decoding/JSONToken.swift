/// One value, or the name of a member, in the flat index of a JSON text.
///
/// Tokens are stored in the order of the text. The name of a member is a string token directly before its value.
struct JSONToken {
    enum Kind: UInt8 {
        case null, `false`, `true`, number, string, array, object
    }

    /// The known properties of a token. Some are found only when the token is first used.
    struct Flags: OptionSet {
        var rawValue: UInt8
        /// A string without escapes and without raw control characters.
        static let simple = Flags(rawValue: 1)
        /// A string with a byte outside of ASCII.
        static let nonASCII = Flags(rawValue: 2)
        /// A number that consists of digits only, with an optional minus sign.
        static let digitsOnly = Flags(rawValue: 4)
        /// An object whose names have been examined.
        static let examined = Flags(rawValue: 8)
        /// An object whose names have to be compared through a `JSONKeyIndex`.
        static let indexed = Flags(rawValue: 16)
        /// An object with two equal names.
        static let duplicates = Flags(rawValue: 32)
    }

    var kind: Kind
    var flags: Flags = []
    /// The offset of the first byte of a string's content or of a number. In an object, the name to compare first.
    var offset: UInt32
    /// The number of bytes of a string's content or of a number. In a container, the number of elements or members.
    var length: UInt32 = 0
    /// In a container, the token after its last descendant. In a simple ASCII string, a hash of its bytes.
    var link: UInt32 = 0

    var isContainer: Bool { kind.rawValue >= Kind.array.rawValue }

    /// A description of the value for error messages.
    var typeDescription: String {
        switch kind {
        case .null: "null"
        case .false, .true: "bool"
        case .number: "number"
        case .string: "a string"
        case .array: "an array"
        case .object: "a dictionary"
        }
    }
}
