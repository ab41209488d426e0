import EventBus
import Testing

@Suite("Topics and patterns", .timeLimit(.minutes(1)))
struct TopicTests {
    @Test("A topic is words separated by dots", arguments: ["a", "order.created", "a.b-c_d.e1", "größe.änderung"])
    func legal(_ text: String) throws {
        #expect(try Topic(validating: text).rawValue == text)
        #expect(try TopicPattern(validating: text).isExact)
    }

    @Test(
        "What is no topic is refused with the reason",
        arguments: [
            ("", "empty"), (".", "empty"), ("a..b", "empty"), ("a.", "ends with a dot"), (".a", "empty"),
            ("a b", "white space"), ("a\n", "white space"), ("a.*", "pattern"), ("#", "pattern"),
            (String(repeating: "x", count: 201), "201 bytes"),
        ]
    )
    func illegal(_ text: String, _ reason: String) {
        let error = #expect(throws: EventBusError.self) { try Topic(validating: text) }
        #expect(error?.code == .invalidTopic)
        #expect(error?.message.contains(reason) == true, "\(error?.message ?? "")")
    }

    @Test("A wildcard must be a whole word", arguments: ["a*", "*a", "a.#b", "**", "#*"])
    func illegalPatterns(_ text: String) {
        #expect(throws: EventBusError.self) { try TopicPattern(validating: text) }
    }

    @Test("The maximum length of a topic is 200 bytes, not characters")
    func longest() throws {
        #expect(throws: Never.self) { try Topic(validating: String(repeating: "x", count: 200)) }
        #expect(throws: EventBusError.self) { try Topic(validating: String(repeating: "ö", count: 101)) }
    }

    @Test(
        "Patterns match as in AMQP",
        arguments: [
            ("a.*", "a.b", true), ("a.*", "a", false), ("a.*", "a.b.c", false),
            ("a.#", "a", true), ("a.#", "a.b.c", true), ("a.#", "ab", false),
            ("#", "a.b", true), ("#.a", "a", true), ("#.a.#", "b.a.c", true), ("#.a.#", "b.c", false),
            ("*.#.*", "a", false), ("*.#.*", "a.b", true), ("#.#", "a", true), ("a.#.b.#.c", "a.b.b.c", true),
            ("a.#.b.#.c", "a.c", false), ("*", "a", true),
        ]
    )
    func matching(_ pattern: String, _ topic: String, _ expected: Bool) throws {
        #expect(try TopicPattern(validating: pattern).matches(Topic(validating: topic)) == expected)
    }

    @Test("The trie finds exactly the matching values after any additions and removals")
    func trie() throws {
        var generator = SplitMix64(seed: 7)
        let words = ["a", "b", "c", "*", "#"]
        func random(_ allowed: ArraySlice<String>) -> String {
            (0..<Int.random(in: 1...4, using: &generator))
                .map { _ in allowed.randomElement(using: &generator) ?? "a" }.joined(separator: ".")
        }
        var trie = TopicTrie<Int>()
        var filed: [Int: TopicPattern] = [:]
        for round in 0..<2000 {
            let pattern = try TopicPattern(validating: random(words[...]))
            trie.insert(round, for: pattern)
            filed[round] = pattern
            if round % 3 == 0, let (victim, pattern) = filed.randomElement(using: &generator) {
                trie.remove(for: pattern) { $0 == victim }
                filed[victim] = nil
            }
            guard round % 20 == 0 else { continue }
            let topic = try Topic(validating: random(words[..<3]))
            let expected = filed.filter { $0.value.matches(topic) }.keys.sorted()
            #expect(trie.values(matching: topic).sorted() == expected, "\(topic)")
        }
        #expect(trie.count == filed.count)
    }

    @Test("A pattern with many # does not take exponential time")
    func manyWildcards() throws {
        let pattern = try TopicPattern(validating: Array(repeating: "#", count: 60).joined(separator: ".") + ".z")
        let topic = try Topic(validating: Array(repeating: "a", count: 60).joined(separator: "."))
        var trie = TopicTrie<Int>()
        trie.insert(1, for: pattern)
        #expect(trie.values(matching: topic).isEmpty)
        #expect(!pattern.matches(topic))
    }
}
