import EventBus

/// The route of a delayed event through the levels.
///
/// The delay, in units of 100 ms rounded up and written in binary, is the first part of the routing key. At each level
/// a 1 leads to the level's queue, whose time to live is the value of that bit, and a 0 leads to the next level. The
/// event enters at its highest set bit, because entering at the top would reduce the throughput to a tenth.
struct DelayRoute: Hashable, Sendable {
    /// The number of levels.
    static let levels = TransportLimits.delayLevels
    /// The delay of the lowest level.
    static let unit = TransportLimits.delayUnit

    /// The exchange to publish to.
    var exchange: String
    /// The routing key.
    var routingKey: String

    /// The destination of the event after its delay.
    enum Destination {
        /// The queue of one subscription. In earlier releases, `q.QUEUE` led there directly from the levels.
        case queue(String)
        /// Every subscription of the events exchange that matches the topic.
        case topic(Topic, exchange: String)
        /// Every subscription of the virtual host that matches the topic, as in the first releases.
        case sharedTopic(Topic)

        var key: String {
            switch self {
            case .queue(let name): "r.\(name)"
            case .topic(let topic, let exchange): "e.\(DelayRoute.token(of: exchange)).\(topic.rawValue)"
            case .sharedTopic(let topic): "t.\(topic.rawValue)"
            }
        }
    }

    /// Returns the token of an exchange in a routing key, which has no room for its name: eight hexadecimal digits of
    /// its 32-bit FNV-1a hash.
    static func token(of exchange: String) -> String {
        var hash: UInt32 = 0x811C_9DC5
        for byte in exchange.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// Creates the route for a delay above zero.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.unsupported` for a delay of more than 29 hours.
    init(delay: Duration, to destination: Destination) throws(EventBusError) {
        try TransportLimits.check(delay: delay)
        let (seconds, attoseconds) = delay.components
        let unit: Int64 = 100_000_000_000_000_000
        let units = max(1, seconds * 10 + (attoseconds + unit - 1) / unit)
        let highest = Int64.bitWidth - 1 - units.leadingZeroBitCount
        exchange = TopologyNames.delayLevel(highest)
        routingKey = ""
        routingKey.reserveCapacity(2 * Self.levels + destination.key.utf8.count)
        for level in (0..<Self.levels).reversed() {
            routingKey += units >> Int64(level) & 1 == 1 ? "1." : "0."
        }
        routingKey += destination.key
    }

    /// Returns the topic in the routing key of a scheduled event at the end of the levels.
    static func scheduledTopic(in routingKey: String) -> String? {
        guard let (kind, rest) = destination(in: routingKey) else { return nil }
        switch kind {
        case "t": return String(rest)
        case "e":
            guard let dot = rest.utf8.firstIndex(of: UInt8(ascii: ".")) else { return nil }
            return String(rest[rest.utf8.index(after: dot)...])
        default: return nil
        }
    }

    /// Returns the queue in the routing key of a retry at the end of the levels.
    static func queue(in routingKey: String) -> String? {
        guard let (kind, rest) = destination(in: routingKey), kind == "r" || kind == "q" else { return nil }
        return String(rest)
    }

    /// Returns the part after the levels' words: one word for the kind of destination, and the destination.
    private static func destination(in routingKey: String) -> (kind: Substring, rest: Substring)? {
        // By bytes, as the broker separates words, because a dot may be part of a character.
        let words = routingKey.utf8.split(
            separator: UInt8(ascii: "."),
            maxSplits: levels + 1,
            omittingEmptySubsequences: false
        )
        guard words.count == levels + 2 else { return nil }
        return (Substring(words[levels]), Substring(words[levels + 1]))
    }

    /// Returns the pattern that matches a level's bit in the routing key.
    static func pattern(bit: Int, ofLevel level: Int) -> String {
        String(repeating: "*.", count: levels - 1 - level) + "\(bit).#"
    }

    /// Returns the pattern with which a destination is bound to the exit.
    static func exitPattern(_ destination: String) -> String {
        String(repeating: "*.", count: levels) + destination
    }
}
