import EventBus

/// The way of a delayed event through the levels.
///
/// The delay, in units of 100 ms rounded up and written in binary, is the first part of the routing key: at each level a
/// 1 leads into the level's queue, whose time to live is that bit's worth, and a 0 straight on. The event enters at its
/// highest set bit: entering at the top costs ten times the throughput.
struct DelayRoute: Hashable, Sendable {
    /// How many levels there are.
    static let levels = TransportLimits.delayLevels
    /// The delay of the lowest level.
    static let unit = TransportLimits.delayUnit

    /// The exchange to publish to.
    var exchange: String
    /// The routing key.
    var routingKey: String

    /// Where the event goes when its delay has passed.
    enum Destination {
        /// The queue of one subscription.
        case queue(String)
        /// Every subscription that matches the topic.
        case topic(Topic)

        var key: String {
            switch self {
            case .queue(let name): "q.\(name)"
            case .topic(let topic): "t.\(topic.rawValue)"
            }
        }
    }

    /// The route for a delay above zero.
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

    /// The topic in the routing key of a scheduled event, as it is at the end of the levels.
    static func scheduledTopic(in routingKey: String) -> String? {
        let words = routingKey.split(separator: ".", maxSplits: levels + 1, omittingEmptySubsequences: false)
        guard words.count == levels + 2, words[levels] == "t" else { return nil }
        return String(words[levels + 1])
    }

    /// The queue in the routing key of a retry, as it is at the end of the levels.
    static func queue(in routingKey: String) -> String? {
        let words = routingKey.split(separator: ".", maxSplits: levels + 1, omittingEmptySubsequences: false)
        guard words.count == levels + 2, words[levels] == "q" else { return nil }
        return String(words[levels + 1])
    }

    /// The pattern that finds a level's bit in the routing key.
    static func pattern(bit: Int, ofLevel level: Int) -> String {
        String(repeating: "*.", count: levels - 1 - level) + "\(bit).#"
    }

    /// The pattern under which a destination is bound to the exit.
    static func exitPattern(_ destination: String) -> String {
        String(repeating: "*.", count: levels) + destination
    }
}
