import Testing

@testable import EventBus

/// One name as typed on two systems: equal to a reader, but different bytes to a broker.
private let composed = "caf\u{E9}"
private let decomposed = "cafe\u{301}"

@Suite("Comparison of names by bytes", .timeLimit(.minutes(1)))
struct ExactNameTests {
    @Test("Topics, patterns and identifiers that differ only in normalization are different")
    func identities() throws {
        #expect(composed == decomposed)
        #expect(try Topic(validating: composed) != Topic(validating: decomposed))
        #expect(try TopicPattern(validating: composed) != TopicPattern(validating: decomposed))
        #expect(EventID(composed) != EventID(decomposed))
        #expect(CorrelationID(composed) != CorrelationID(decomposed))
        #expect(EventID(composed) == EventID(composed))
        #expect(Set([EventID(composed), EventID(decomposed), EventID(composed)]).count == 2)
        #expect(Set([try Topic(validating: composed), try Topic(validating: decomposed)]).count == 2)
        // Marks in another order have the same length and look the same to a reader.
        #expect("a\u{323}\u{307}" == "a\u{307}\u{323}")
        #expect(try Topic(validating: "a\u{323}\u{307}") != Topic(validating: "a\u{307}\u{323}"))
    }

    @Test("Envelopes whose keys differ only in normalization are different")
    func envelopes() {
        let first = Envelope(topic: "a", payload: [], partitionKey: composed)
        var second = first
        #expect(first == second)
        second.partitionKey = decomposed
        #expect(first != second)
        #expect(second.partitionKey.map { Array($0.utf8) } == Array(decomposed.utf8))
    }

    @Test("A pattern matches the bytes of its words")
    func matching() throws {
        let pattern = try TopicPattern(validating: "\(composed).*")
        #expect(pattern.matches(try Topic(validating: "\(composed).a")))
        #expect(!pattern.matches(try Topic(validating: "\(decomposed).a")))
        var trie = TopicTrie<Int>()
        trie.insert(1, for: pattern)
        trie.insert(2, for: try TopicPattern(validating: "\(decomposed).#"))
        #expect(trie.values(matching: try Topic(validating: "\(composed).a")) == [1])
        #expect(trie.values(matching: try Topic(validating: "\(decomposed).a")) == [2])
    }

    @Test("A dot separates words even if an accent follows it")
    func accentAfterDot() throws {
        let topic = try Topic(validating: "a.\u{301}b")
        #expect(topic.words.count == 2)
        #expect(TopicPattern("a.*").matches(topic))
        #expect(!TopicPattern("*").matches(topic))
        #expect(try TopicPattern(validating: "a.\u{301}b").matches(topic))
    }

    @Test("A local listener receives exactly the topic with the requested bytes")
    func localListener() throws {
        struct Opened: Event {
            static let topic: Topic = "caf\u{E9}.opened"
        }
        let emitter = LocalEmitter()
        let heard = Locked<[String]>([])
        emitter.on(try TopicPattern(validating: "\(composed).#")) { _ in heard.withLock { $0.append("composed") } }
        emitter.on(try TopicPattern(validating: "\(decomposed).#")) { _ in heard.withLock { $0.append("decomposed") } }
        emitter.emit(Opened())
        #expect(heard.withLock { $0 } == ["composed"])
    }

    @Test("A header name that begins with the reserved bytes is refused, even if an accent follows")
    func reservedHeader() {
        let envelope = Envelope(topic: "a", payload: [], headers: ["x-eventbus-\u{301}": 1])
        let error = #expect(throws: EventBusError.self) { try envelope.validate() }
        #expect(error?.code == .invalidEnvelope)
    }

    @Test("Headers whose names differ only in normalization are different, at any depth")
    func headerNames() {
        let headers: EventHeaders = [composed: 1, decomposed: 2, "table": [composed: 3, decomposed: 4]]
        #expect(headers.values.count == 3)
        #expect(headers[composed] == 1)
        #expect(headers[decomposed] == 2)
        #expect(headers["table"] == .table([composed: 3, decomposed: 4]))
        #expect(EventHeaders([composed: 1]) != EventHeaders([decomposed: 1]))
        var changed = headers
        changed[composed] = nil
        #expect(changed[decomposed] == 2)
        #expect(headers.values.extent.size > changed.values.extent.size)
        #expect(headers.values.filter { $0.value.int == 2 } == [decomposed: 2])
    }

    @Test("The recent failure of a computation is forgotten with its own tag only")
    func failureTags() {
        let now = AnyClock.Instant(offset: .zero)
        var failures = RecentFailures()
        let type = ObjectIdentifier(Int.self)
        let end = now.advanced(by: .seconds(1))
        failures.note(["key"], Broken(), type: type, tags: [composed], until: end, now: now)
        failures.forget(tag: decomposed)
        #expect(failures.error(for: "key", type: type, now: now) != nil)
        failures.forget(tag: composed)
        #expect(failures.error(for: "key", type: type, now: now) == nil)
    }

    @Test("Keys of one cache call that a dictionary cannot distinguish are refused")
    func cacheKeys() throws {
        try CacheKeySpelling.checkDistinct([composed, composed, "a"])
        let error = #expect(throws: EventBusError.self) {
            try CacheKeySpelling.checkDistinct([composed, "a", decomposed])
        }
        #expect(error?.code == .invalidName)
    }
}
