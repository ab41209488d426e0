/// A pattern over topics in AMQP's grammar, the same for the local emitter and every transport.
///
/// `*` stands for exactly one word, `#` for zero or more words, every other word for itself:
///
/// | pattern | matches | does not match |
/// |---|---|---|
/// | `order.created` | `order.created` | `order.created.late` |
/// | `order.*` | `order.created` | `order`, `order.created.late` |
/// | `order.#` | `order`, `order.created.late` | `orders` |
/// | `#` | everything | |
public struct TopicPattern: Sendable {
    /// One word of a pattern.
    package enum Word: Hashable, Sendable {
        case literal(ExactText<Substring>)
        case one
        case many
    }

    /// The pattern as it was written.
    public let rawValue: String
    package let words: [Word]

    /// Checks `rawValue` and makes it a pattern.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidTopic`, which names what is wrong.
    public init(validating rawValue: String) throws(EventBusError) {
        if let problem = Topic.problem(in: rawValue, wildcardsAllowed: true) {
            throw EventBusError(.invalidTopic, "\(rawValue.quotedForError) is not a topic pattern: \(problem)")
        }
        self.init(unchecked: rawValue)
    }

    /// The pattern that matches `topic` and nothing else.
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

    /// Whether the pattern has no wildcard, and so matches one topic only.
    public var isExact: Bool {
        words.allSatisfy { if case .literal = $0 { true } else { false } }
    }

    /// Whether the pattern matches `topic`.
    public func matches(_ topic: Topic) -> Bool {
        Self.match(words[...], topic.words[...])
    }

    /// Greedy matching with one point to fall back to, the latest `#`: linear in practice, never exponential.
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
    /// Whether both patterns have the same bytes.
    public static func == (lhs: TopicPattern, rhs: TopicPattern) -> Bool {
        ExactText(lhs.rawValue) == ExactText(rhs.rawValue)
    }

    /// Hashes the pattern's bytes.
    public func hash(into hasher: inout Hasher) {
        ExactText(rawValue).hash(into: &hasher)
    }
}

extension TopicPattern: ExpressibleByStringLiteral {
    /// Makes a pattern of a literal; traps on one that is not a pattern.
    public init(stringLiteral value: String) {
        if let problem = Topic.problem(in: value, wildcardsAllowed: true) {
            preconditionFailure("\(value.quotedForError) is not a topic pattern: \(problem)")
        }
        self.init(unchecked: value)
    }
}

extension TopicPattern: CustomStringConvertible {
    /// The pattern as it was written.
    public var description: String { rawValue }
}
