import EventBus

/// The exchange through which a message reached its queue. It decides whether the bus's own headers are trusted, and
/// where the topic is.
///
/// Publishers can set every property and every header. The exchange and the routing key of a delivery are set by the
/// broker.
enum ArrivalRoute: Equatable {
    /// The exchange of events, where the routing key is the topic.
    case events
    /// The delay levels, to which only buses publish. Scheduled events have their topic in the routing key.
    case delay(scheduledTopic: String?)
    /// The dead-letter exchange, to which only buses and the broker publish.
    case deadLetter
    /// The default exchange, for a replay or a client that knows the queue's name.
    case defaultExchange
    /// A foreign exchange that was bound to the queue.
    case foreign

    /// Creates the route of a message that was published to `exchange` with `routingKey`.
    init(exchange: String, routingKey: String, events: String) {
        if exchange.utf8.elementsEqual(events.utf8) {
            self = .events
        } else if exchange.isEmpty {
            self = .defaultExchange
        } else if exchange.beginsWithBytes(of: TopologyNames.delayPrefix) {
            self = .delay(scheduledTopic: DelayRoute.scheduledTopic(in: routingKey))
        } else if exchange.utf8.elementsEqual(TopologyNames.deadLetterExchange.utf8) {
            self = .deadLetter
        } else {
            self = .foreign
        }
    }

    /// A Boolean value indicating whether headers that begin with `x-eventbus-` were set by the bus.
    var isTrusted: Bool {
        switch self {
        case .delay, .deadLetter, .defaultExchange: true
        case .events, .foreign: false
        }
    }
}
