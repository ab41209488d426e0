import EventBus

/// The content of an entry, by which it is recognized when its queue delivers it again.
///
/// It contains the headers, because an event that failed again after a replay is another entry with the same id.
struct LetterIdentity: Hashable, Sendable {
    /// The headers in which a queue counts the deliveries.
    private static let counters = ["x-delivery-count", "x-acquired-count"]

    private let hash: Int

    init(_ message: AMQPMessage) {
        var headers = message.properties.headers
        for name in Self.counters where headers[name] != nil { headers[name] = nil }
        var hasher = Hasher()
        hasher.combine(message.exchange)
        hasher.combine(message.routingKey)
        hasher.combine(message.properties.messageID)
        hasher.combine(message.properties.type)
        hasher.combine(message.properties.timestamp)
        hasher.combine(headers)
        hasher.combine(message.body)
        hasher.combine(message.refusedSize)
        hash = hasher.finalize()
    }
}

/// Entries that were read, by their identities. Several may be equal.
struct ReadLetters: Sendable {
    private var counts: [LetterIdentity: Int] = [:]
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func add(_ letter: LetterIdentity) {
        counts[letter, default: 0] += 1
        count += 1
    }

    mutating func add(_ others: ReadLetters) {
        counts.merge(others.counts, uniquingKeysWith: +)
        count += others.count
    }

    /// Removes an entry. Returns `false` if there is no such entry.
    mutating func remove(_ letter: LetterIdentity) -> Bool {
        guard let number = counts[letter] else { return false }
        counts[letter] = number > 1 ? number - 1 : nil
        count -= 1
        return true
    }
}
