import EventBus
import PostgresDriver
import ServiceStorage

/// A client's name for one request. Requests with the same key have their effect once.
struct IdempotencyKey: Hashable, Sendable {
    /// The allowed lengths of a key, in characters.
    static let lengths = 1...255

    /// The key as it was sent.
    let rawValue: String
    /// The client that sent it, because clients choose their keys independently of each other.
    let client: String

    /// Creates a key of a client. Returns `nil` if `text` is not 1 to 255 printable ASCII characters.
    init?(_ text: String, client: String = "") {
        guard Self.lengths.contains(text.utf8.count), text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            return nil
        }
        rawValue = text
        self.client = client
    }
}

/// The error for a key that was used for another order before.
struct IdempotencyConflict: Error, Hashable {
    /// The order that was placed under the key.
    var orderID: String
}

/// The stored keys, each with the order that was placed with it. The order contains the content of the request, with
/// which a repeated request is compared.
enum IdempotencyKeyTable {
    /// Makes transactions with the same key follow one another.
    static func lock(_ key: IdempotencyKey, in db: SQLTransaction) throws {
        try db.lock("idempotency-key \(key.client):\(key.rawValue)")
    }

    /// Returns the order that was placed with a key since `time`.
    static func order(placedWith key: IdempotencyKey, since time: EventTime, in db: SQLTransaction) throws -> String? {
        try db.rows(
            "SELECT order_id FROM idempotency_keys WHERE client = $1 AND key = $2 AND stored_at >= $3",
            [.text(key.client), .text(key.rawValue), .integer(time.milliseconds)]
        ).first?.text("order_id")
    }

    /// Stores a key. The table itself refuses a second request of the client with the same key.
    static func insert(_ key: IdempotencyKey, of orderID: String, at time: EventTime, in db: SQLTransaction) throws {
        try db.execute(
            "INSERT INTO idempotency_keys (client, key, order_id, stored_at) VALUES ($1, $2, $3, $4)",
            [.text(key.client), .text(key.rawValue), .text(orderID), .integer(time.milliseconds)]
        )
    }

    /// Deletes `key` and a few others that were stored before `time`. It deletes more than one call adds, so that they
    /// cannot accumulate.
    static func forget(_ key: IdempotencyKey, storedBefore time: EventTime, in db: SQLTransaction) throws {
        try db.execute(
            """
            DELETE FROM idempotency_keys WHERE (client, key) IN (
                SELECT client, key FROM idempotency_keys WHERE stored_at < $1 ORDER BY stored_at LIMIT 20
                \(db.forUpdateSkipLocked)
            ) OR (client = $2 AND key = $3 AND stored_at < $1)
            """,
            [.integer(time.milliseconds), .text(key.client), .text(key.rawValue)]
        )
    }
}
