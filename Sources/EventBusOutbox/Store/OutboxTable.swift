/// A table that holds events.
package enum OutboxTable: String, Hashable, Sendable {
    case outbox = "eventbus_outbox"
    /// Events without a subscriber. `eventbus_outbox_topic` contains the time at which their topic is tried again.
    case unrouted = "eventbus_outbox_unrouted"
    /// Events whose delay exceeds the limit of the broker.
    case delayed = "eventbus_outbox_delayed"
    case parked = "eventbus_outbox_parked"
}
