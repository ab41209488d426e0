/// The name of a kind of event on the wire: words separated by dots, such as `order.created`.
///
/// ```swift
/// let topic: Topic = "order.created"
/// let other = try Topic(validating: text)
/// ```
///
/// A topic is a contract between services. It has at most ``maximumLength`` UTF-8 bytes and no empty words. It contains
/// neither wildcards (`*`, `#`) nor white space or control characters.
///
/// Topics are compared byte by byte, as brokers do: two that differ only in Unicode normalization are two topics.
///
/// A literal is checked when it is evaluated, and traps if it is invalid. For any other text use ``init(validating:)``.
public struct Topic: Sendable {
    /// The maximum length of a topic, in UTF-8 bytes. AMQP allows 255 for a routing key. The delay levels need the
    /// rest.
    public static let maximumLength = 200

    /// The topic in its wire format.
    public let rawValue: String

    /// Creates a topic from `rawValue` if it is valid.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidTopic`, which describes the problem.
    public init(validating rawValue: String) throws(EventBusError) {
        if let problem = Self.problem(in: rawValue, wildcardsAllowed: false) {
            throw EventBusError(.invalidTopic, "\(rawValue.quotedForError) is not a topic: \(problem)")
        }
        self.rawValue = rawValue
    }

    /// Creates a topic from its words, each of which may be a value from elsewhere.
    ///
    /// ```swift
    /// let topic = try Topic(words: ["customer", customerID, "ordered"])
    /// ```
    ///
    /// A dot in a word is an error, because the text after it would become a word of its own, and subscriptions by
    /// pattern would receive events that are not meant for them.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidTopic`, which names the invalid word.
    public init(words: [String]) throws(EventBusError) {
        for (index, word) in words.enumerated() {
            let problem: String
            if word.isEmpty {
                problem = "it is empty"
            } else if word.utf8.contains(UInt8(ascii: ".")) {
                problem = "it contains a dot, which would make it several words; encode it"
            } else if let other = Self.problem(in: word, wildcardsAllowed: false) {
                problem = other
            } else {
                continue
            }
            throw EventBusError(
                .invalidTopic,
                "\(word.quotedForError) cannot be word \(index + 1) of a topic: \(problem)"
            )
        }
        try self.init(validating: words.joined(separator: "."))
    }

    /// The words between the dots.
    public var words: [Substring] {
        rawValue.topicWords
    }

    /// Creates a topic that is known to be valid.
    init(unchecked rawValue: String) {
        self.rawValue = rawValue
    }

    static func problem(in text: String, wildcardsAllowed: Bool) -> String? {
        let utf8 = text.utf8
        if utf8.isEmpty { return "it is empty" }
        if utf8.count > maximumLength { return "it has \(utf8.count) bytes, \(maximumLength) are allowed" }
        var wordLength = 0
        var wordHasWildcard = false
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "."):
                if wordLength == 0 { return "a word between the dots is empty" }
                wordLength = 0
                wordHasWildcard = false
                continue
            case UInt8(ascii: "*"), UInt8(ascii: "#"):
                if !wildcardsAllowed { return "the wildcards * and # belong in a pattern, not in a topic" }
                if wordLength > 0 { return "a wildcard has to be a word of its own" }
                wordHasWildcard = true
            case 0...0x20, 0x7F:
                return "it holds white space or a control character"
            default:
                if wordHasWildcard { return "a wildcard has to be a word of its own" }
            }
            if wordHasWildcard && wordLength > 0 { return "a wildcard has to be a word of its own" }
            wordLength += 1
        }
        return wordLength == 0 ? "it ends with a dot" : nil
    }
}

extension Topic: Hashable {
    /// Returns a Boolean value indicating whether both topics have the same bytes.
    public static func == (lhs: Topic, rhs: Topic) -> Bool {
        ExactText(lhs.rawValue) == ExactText(rhs.rawValue)
    }

    /// Hashes the topic's bytes.
    public func hash(into hasher: inout Hasher) {
        ExactText(rawValue).hash(into: &hasher)
    }
}

extension Topic: ExpressibleByStringLiteral {
    /// Creates a topic from a literal. Traps if it is invalid.
    public init(stringLiteral value: String) {
        if let problem = Self.problem(in: value, wildcardsAllowed: false) {
            preconditionFailure("\(value.quotedForError) is not a topic: \(problem)")
        }
        self.rawValue = value
    }
}

extension Topic: CustomStringConvertible {
    /// The topic for people to read. It equals ``rawValue`` except for a topic with invisible characters.
    public var description: String { rawValue.printable }
}

extension Topic: Codable {
    /// Decodes a topic from a single string and checks it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        try self.init(validating: try container.decode(String.self))
    }

    /// Encodes the topic as a single string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
}
