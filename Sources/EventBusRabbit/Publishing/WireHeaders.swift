import EventBus

/// The names of the headers for an envelope's fields and for the bus's internal data.
enum WireHeaders {
    static let causationID = "causation-id"
    static let version = "event-version"
    static let time = "event-time"
    static let partitionKey = "partition-key"

    /// The topic, if the routing key and `type` no longer contain it.
    static let topic = "x-eventbus-topic"
    /// The chain of causes, if the correlation id identifies a request.
    static let correlationID = "x-eventbus-correlation-id"
    /// The number of failed attempts.
    static let attempts = "x-eventbus-attempts"
    /// The total deferral since the last attempt, in milliseconds.
    static let deferred = "x-eventbus-deferred"
    /// The time at which a delayed copy is due, in milliseconds since 1970.
    static let due = "x-eventbus-due"
    /// The mark of an event without an id, whose message id is a digest of its content.
    static let contentID = "x-eventbus-content-id"
    static let firstFailure = "x-eventbus-first-failure"
    static let lastFailure = "x-eventbus-last-failure"
    static let reason = "x-eventbus-reason"
    static let errorType = "x-eventbus-error-type"
    static let errorMessage = "x-eventbus-error-message"
    static let group = "x-eventbus-group"
    static let queue = "x-eventbus-queue"
    static let originalExchange = "x-eventbus-original-exchange"
    static let originalRoutingKey = "x-eventbus-original-routing-key"

    /// The number of consumers in succession that left a crash record behind.
    static let crashes = "x-eventbus-crashes"

    /// The broker's count of unsettled deliveries.
    static let deliveryCount = "x-delivery-count"
    /// The broker's count of consumers that have had the message.
    static let acquiredCount = "x-acquired-count"
    /// The broker's record of dead-lettering.
    static let death = "x-death"

    /// Returns the total deferral of an event since its last attempt, if the bus's own headers are trusted.
    static func deferred(in headers: HeaderTable, isTrusted: Bool) -> Duration {
        guard isTrusted, let milliseconds = headers[deferred]?.int else { return .zero }
        return min(.milliseconds(max(0, milliseconds)), .longest)
    }

    /// Returns the time at which the first attempt at an event failed, if the bus's own headers are trusted.
    static func firstFailure(in headers: HeaderTable, isTrusted: Bool) -> EventTime? {
        guard isTrusted, !headers.isEmpty else { return nil }
        return headers[firstFailure]?.string.flatMap { EventTime(rfc3339: $0) }
    }

    /// The internal headers that an event keeps through every republish.
    static let lasting: Set<String> = [
        topic, correlationID, contentID, firstFailure, originalExchange, originalRoutingKey,
    ]
    /// The reserved names for fields of the envelope. The other reserved names belong to the broker.
    static let fields: Set<String> = [causationID, version, time, partitionKey]

    /// Returns a Boolean value indicating whether a header belongs to the user.
    static func isUsers(_ name: String) -> Bool {
        !name.beginsWithBytes(of: EventHeaders.internalPrefix) && !EventHeaders.reservedNames.contains(name)
    }

    /// Returns a Boolean value indicating whether a header of another client's message is the same in every delivery of it.
    static func isStable(_ name: String) -> Bool {
        (isUsers(name) && name != acquiredCount) || fields.contains(name)
    }

    /// Returns a Boolean value indicating whether a header may be sent again. It is an allow-list, because the broker
    /// acts on some headers (`CC` makes copies, and `x-death` makes it drop the second retry as a cycle), and because
    /// others could have been forged.
    ///
    /// - Parameter isTrusted: `true` if the bus's own headers were set by the bus.
    static func mayGoOutAgain(_ name: String, isTrusted: Bool) -> Bool {
        isUsers(name) || fields.contains(name) || name == correlationID || (isTrusted && lasting.contains(name))
    }
}
