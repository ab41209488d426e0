public import GRDB

/// The relevant properties of an event in the outbox.
public struct WaitingEvent: Hashable, Sendable {
    /// The event's id.
    public var id: String
    /// The topic.
    public var topic: String
    /// The chain that it belongs to.
    public var correlationID: String?
    /// The event that caused it.
    public var causationID: String?
    /// A Boolean value indicating whether it requires a subscriber.
    public var requiresSubscriber: Bool

    /// Creates an expected event.
    public init(
        id: String,
        topic: String,
        correlationID: String? = nil,
        causationID: String? = nil,
        requiresSubscriber: Bool
    ) {
        self.id = id
        self.topic = topic
        self.correlationID = correlationID
        self.causationID = causationID
        self.requiresSubscriber = requiresSubscriber
    }
}

extension DatabaseReader {
    /// Returns the events that wait in the outbox, oldest first.
    public func outbox() async throws -> [WaitingEvent] {
        try await read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM eventbus_outbox ORDER BY sequence").map { row in
                WaitingEvent(
                    id: row["event_id"],
                    topic: row["topic"],
                    correlationID: row["correlation_id"],
                    causationID: row["causation_id"],
                    requiresSubscriber: row["requires_subscriber"]
                )
            }
        }
    }
}
