import EventBus
import GRDB

/// A client's name for one request: sent again under the same key, it has its effect once.
struct IdempotencyKey: Hashable, Sendable {
    /// How many characters a key can have.
    static let lengths = 1...255

    /// The key as it was sent.
    let rawValue: String

    /// A key; `nil` if `text` is not 1 to 255 printable ASCII characters.
    init?(_ text: String) {
        guard Self.lengths.contains(text.utf8.count), text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            return nil
        }
        rawValue = text
    }
}

/// A key was used for another order before.
struct IdempotencyConflict: Error, Hashable {
    /// The order that was placed under the key.
    var orderID: String
}

/// The keys that the database remembers, each with the order that was placed under it. What the order holds is what the
/// request was: a request with the same key is compared with that.
enum IdempotencyKeyTable {
    /// The order that was placed under a key since `time`.
    static func order(placedWith key: IdempotencyKey, since time: EventTime, in db: Database) throws -> String? {
        try String.fetchOne(
            try db.cachedStatement(sql: "SELECT order_id FROM idempotency_keys WHERE key = ? AND stored_at >= ?"),
            arguments: [key.rawValue, time.milliseconds]
        )
    }

    /// Remembers a key. That two requests have one key is refused by the table itself.
    static func insert(_ key: IdempotencyKey, of orderID: String, at time: EventTime, in db: Database) throws {
        try db.cachedStatement(sql: "INSERT INTO idempotency_keys (key, order_id, stored_at) VALUES (?, ?, ?)")
            .execute(arguments: [key.rawValue, orderID, time.milliseconds])
    }

    /// Forgets `key` and a few others that were stored before `time`: more than one call adds, so that they cannot pile
    /// up.
    static func forget(_ key: IdempotencyKey, storedBefore time: EventTime, in db: Database) throws {
        try db.cachedStatement(
            sql: """
                DELETE FROM idempotency_keys WHERE key IN (
                    SELECT key FROM idempotency_keys WHERE stored_at < ? ORDER BY stored_at LIMIT 20
                ) OR (key = ? AND stored_at < ?)
                """
        ).execute(arguments: [time.milliseconds, key.rawValue, time.milliseconds])
    }
}
