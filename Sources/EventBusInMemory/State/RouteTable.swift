import EventBus

/// The queues to which each topic is routed.
///
/// The result for each topic is cached until a binding changes, so that bindings that do not match cost nothing.
struct RouteTable: Sendable {
    /// The maximum number of cached topics, which keeps foreign topics from filling the memory.
    private static let maximumCachedTopics = 10_000

    private var trie = TopicTrie<Int>()
    private var cache: [Topic: [Int]] = [:]

    var cachedTopicCount: Int { cache.count }

    /// Returns the slots of the queues bound to `topic`, each once.
    mutating func queues(for topic: Topic) -> [Int] {
        if let known = cache[topic] { return known }
        var seen: Set<Int> = []
        let found = trie.values(matching: topic).filter { seen.insert($0).inserted }.sorted()
        if cache.count >= Self.maximumCachedTopics { cache.removeAll(keepingCapacity: true) }
        cache[topic] = found
        return found
    }

    mutating func bind(_ pattern: TopicPattern, to queue: Int) {
        trie.insert(queue, for: pattern)
        cache.removeAll(keepingCapacity: true)
    }

    mutating func unbind(_ pattern: TopicPattern, from queue: Int) {
        trie.remove(for: pattern) { $0 == queue }
        cache.removeAll(keepingCapacity: true)
    }
}
