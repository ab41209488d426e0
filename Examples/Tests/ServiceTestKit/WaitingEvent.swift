public import GRDB

/// What a test looks at of an event in the outbox.
public struct WaitingEvent: Hashable, Sendable {
    /// The event's id.
    public var id: String
    /// Where it is published.
    public var topic: String
    /// What it belongs to.
    public var correlationID: String?
    /// The event that led to it.
    public var causationID: String?
    /// Whether it may only be published where somebody takes it.
    public var requiresSubscriber: Bool

    /// An event that is expected to wait.
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
    /// The events that wait in the outbox, oldest first.
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
