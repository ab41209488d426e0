import EventBus

/// The exchange through which a message reached its queue: it decides whether the bus's own headers are believed, and
/// where the topic stands.
///
/// Whoever may publish events can set every property and every header. The exchange and the routing key of a delivery
/// are the broker's word.
enum ArrivalRoute: Equatable {
    /// The exchange of events: the routing key is the topic.
    case events
    /// The delay levels, which only buses publish to. Scheduled events have their topic in the routing key.
    case delay(scheduledTopic: String?)
    /// The dead-letter exchange, which only buses and the broker publish to.
    case deadLetter
    /// The default exchange: a replay, or a client that knows the queue's name.
    case defaultExchange
    /// An exchange of someone else that was bound to the queue.
    case foreign

    /// The route of a message that came through `exchange` with `routingKey`.
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

    /// Whether headers that begin with `x-eventbus-` are the bus's own.
    var isTrusted: Bool {
        switch self {
        case .delay, .deadLetter, .defaultExchange: true
        case .events, .foreign: false
        }
    }
}
