import EventBus

/// The way in which a message reached its queue. It decides whether the bus's own headers are trusted, and where the topic
/// is.
///
/// Publishers can set every property and every header. The exchange and the routing key of a delivery are set by the
/// broker, but the routing key is only the first one: the headers `CC` and `BCC` add further ones, which lead to other
/// queues, and which no topic permission is checked against. A retry is therefore trusted only in the queue to which its
/// first routing key leads.
enum ArrivalRoute: Equatable {
    /// The exchange of events, where the routing key is the topic.
    case events
    /// The delay levels, for a retry in this queue.
    case retry
    /// The delay levels, for a scheduled event, whose topic is in the routing key.
    case scheduled(topic: String)
    /// The dead-letter exchange, for a letter of this group. Only buses and the broker publish to it.
    case deadLetter
    /// The default exchange, for a replay or a client that knows the queue's name.
    case defaultExchange
    /// A foreign exchange that was bound to the queue.
    case foreign
    /// The delay levels, with a routing key that leads to another queue.
    case misrouted

    /// Creates the route of a message in `queue`.
    init(of message: AMQPMessage, in queue: String, events: String) {
        let (exchange, routingKey) = (message.exchange, message.routingKey)
        if exchange.utf8.elementsEqual(events.utf8) {
            self = .events
        } else if exchange.isEmpty {
            self = routingKey.utf8.elementsEqual(queue.utf8) ? .defaultExchange : .foreign
        } else if exchange.beginsWithBytes(of: TopologyNames.delayPrefix) {
            self = Self.delayed(message, in: queue)
        } else if exchange.utf8.elementsEqual(TopologyNames.deadLetterExchange.utf8) {
            let letters = TopologyNames.deadLetterQueue(of: routingKey)
            self = letters.utf8.elementsEqual(queue.utf8) ? .deadLetter : .foreign
        } else {
            self = .foreign
        }
    }

    /// Returns the route of a message from the delay levels. Behind the queue in which due events wait, its routing key
    /// is in the broker's record of that queue.
    private static func delayed(_ message: AMQPMessage, in queue: String) -> ArrivalRoute {
        var key = message.routingKey
        if message.exchange == TopologyNames.delayDue {
            let due = TopologyNames.dueQueue(of: queue)
            // A bus sends no further keys, and which one is the first of several depends on the broker.
            guard
                case .record(let death) = BrokerDeath.newest(
                    in: message.properties.headers,
                    where: { $0.utf8.elementsEqual(due.utf8) }
                ),
                death.keyCount == 1, death.exchange.beginsWithBytes(of: TopologyNames.delayPrefix)
            else { return .misrouted }
            key = death.routingKey
        }
        if let topic = DelayRoute.scheduledTopic(in: key) { return .scheduled(topic: topic) }
        return DelayRoute.queue(in: key)?.utf8.elementsEqual(queue.utf8) == true ? .retry : .misrouted
    }

    /// A Boolean value indicating whether headers that begin with `x-eventbus-` were set by the bus.
    var isTrusted: Bool {
        switch self {
        case .retry, .deadLetter, .defaultExchange: true
        case .events, .scheduled, .foreign, .misrouted: false
        }
    }
}
