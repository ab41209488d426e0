import EventBus

/// The names of the headers under which an envelope's fields and the bus's bookkeeping travel.
enum WireHeaders {
    static let causationID = "causation-id"
    static let version = "event-version"
    static let time = "event-time"
    static let partitionKey = "partition-key"

    /// The topic, where the routing key and `type` no longer say it.
    static let topic = "x-eventbus-topic"
    /// The chain of causes, where the correlation id tells requests apart.
    static let correlationID = "x-eventbus-correlation-id"
    /// How many attempts have failed.
    static let attempts = "x-eventbus-attempts"
    /// How many milliseconds the event has been deferred since its last attempt.
    static let deferred = "x-eventbus-deferred"
    /// When a delayed copy is due, in milliseconds since 1970.
    static let due = "x-eventbus-due"
    static let firstFailure = "x-eventbus-first-failure"
    static let lastFailure = "x-eventbus-last-failure"
    static let reason = "x-eventbus-reason"
    static let errorType = "x-eventbus-error-type"
    static let errorMessage = "x-eventbus-error-message"
    static let group = "x-eventbus-group"
    static let queue = "x-eventbus-queue"
    static let originalExchange = "x-eventbus-original-exchange"
    static let originalRoutingKey = "x-eventbus-original-routing-key"

    /// The broker's count of deliveries that were not settled.
    static let deliveryCount = "x-delivery-count"
    /// The broker's record of dead-lettering.
    static let death = "x-death"

    /// How long an event has been deferred since its last attempt, if the bus's own headers are the bus's.
    static func deferred(in headers: [String: HeaderValue], isTrusted: Bool) -> Duration {
        guard isTrusted, let milliseconds = headers[deferred]?.int else { return .zero }
        return min(.milliseconds(max(0, milliseconds)), .longest)
    }

    /// Bookkeeping that stays with an event through every republish.
    static let lasting: Set<String> = [topic, correlationID, firstFailure, originalExchange, originalRoutingKey]
    /// Reserved names that hold fields of the envelope; the other reserved names are the broker's.
    static let fields: Set<String> = [causationID, version, time, partitionKey]

    /// Whether a header belongs to the user.
    static func isUsers(_ name: String) -> Bool {
        !name.beginsWithBytes(of: EventHeaders.internalPrefix) && !EventHeaders.reservedNames.contains(name)
    }

    /// Whether a header may go out again: an allow-list, since the broker acts on some (`CC` makes copies, `x-death`
    /// makes it drop the second retry as a cycle), and since others could have been forged.
    ///
    /// - Parameter isTrusted: Whether the bus's own headers are the bus's.
    static func mayGoOutAgain(_ name: String, isTrusted: Bool) -> Bool {
        isUsers(name) || fields.contains(name) || name == correlationID || (isTrusted && lasting.contains(name))
    }
}
