/// A pattern that matches topics, in AMQP's grammar. It is the same for the local emitter and for every transport.
///
/// `*` matches exactly one word, `#` matches zero or more words, and every other word matches itself:
///
/// | pattern | matches | does not match |
/// |---|---|---|
/// | `order.created` | `order.created` | `order.created.late` |
/// | `order.*` | `order.created` | `order`, `order.created.late` |
/// | `order.#` | `order`, `order.created.late` | `orders` |
/// | `#` | everything | |
///
/// ```swift
/// let pattern: TopicPattern = "order.*"
/// pattern.matches("order.created")  // true
/// ```
public struct TopicPattern: Sendable {
    /// One word of a pattern.
    package enum Word: Hashable, Sendable {
        case literal(ExactText<Substring>)
        case one
        case many
    }

    /// The pattern in its original spelling.
    public let rawValue: String
    package let words: [Word]

    /// Creates a pattern from `rawValue` if it is valid.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidTopic`, which describes the problem.
    public init(validating rawValue: String) throws(EventBusError) {
        if let problem = Topic.problem(in: rawValue, wildcardsAllowed: true) {
            throw EventBusError(.invalidTopic, "\(rawValue.quotedForError) is not a topic pattern: \(problem)")
        }
        self.init(unchecked: rawValue)
    }

    /// Creates a pattern that matches only `topic`.
    public init(_ topic: Topic) {
        self.init(unchecked: topic.rawValue)
    }

    private init(unchecked rawValue: String) {
        self.rawValue = rawValue
        self.words = rawValue.topicWords.map { word in
            switch word {
            case "*": .one
            case "#": .many
            default: .literal(ExactText(word))
            }
        }
    }

    /// A Boolean value indicating whether the pattern has no wildcard and therefore matches a single topic.
    public var isExact: Bool {
        words.allSatisfy { if case .literal = $0 { true } else { false } }
    }

    /// A topic with `_` instead of each wildcard, which stands for the topics that the pattern matches.
    var representative: Topic {
        let words = words.map { word -> Substring in
            if case .literal(let text) = word { text.text } else { "_" }
        }
        // It is as long as the pattern, and its words are those of the pattern.
        return Topic(unchecked: words.joined(separator: "."))
    }

    /// Returns a Boolean value indicating whether the pattern matches `topic`.
    public func matches(_ topic: Topic) -> Bool {
        Self.match(words[...], topic.words[...])
    }

    /// Matches greedily, and falls back to the latest `#` only. It is linear in practice and never exponential.
    private static func match(_ pattern: ArraySlice<Word>, _ topic: ArraySlice<Substring>) -> Bool {
        var p = pattern.startIndex
        var t = topic.startIndex
        var fallback: (pattern: Int, topic: Int)?
        while t < topic.endIndex {
            if p < pattern.endIndex {
                switch pattern[p] {
                case .many:
                    fallback = (p + 1, t)
                    p += 1
                    continue
                case .one:
                    p += 1
                    t += 1
                    continue
                case .literal(let word) where word == ExactText(topic[t]):
                    p += 1
                    t += 1
                    continue
                case .literal:
                    break
                }
            }
            guard let point = fallback else { return false }
            fallback = (point.pattern, point.topic + 1)
            p = point.pattern
            t = point.topic + 1
        }
        return pattern[p...].allSatisfy { $0 == .many }
    }
}

extension TopicPattern: Hashable {
    /// Returns a Boolean value indicating whether both patterns have the same bytes.
    public static func == (lhs: TopicPattern, rhs: TopicPattern) -> Bool {
        ExactText(lhs.rawValue) == ExactText(rhs.rawValue)
    }

    /// Hashes the pattern's bytes.
    public func hash(into hasher: inout Hasher) {
        ExactText(rawValue).hash(into: &hasher)
    }
}

extension TopicPattern: ExpressibleByStringLiteral {
    /// Creates a pattern from a literal. Traps if it is invalid.
    public init(stringLiteral value: String) {
        if let problem = Topic.problem(in: value, wildcardsAllowed: true) {
            preconditionFailure("\(value.quotedForError) is not a topic pattern: \(problem)")
        }
        self.init(unchecked: value)
    }
}

extension TopicPattern: CustomStringConvertible {
    /// The pattern in its original spelling.
    public var description: String { rawValue }
}
