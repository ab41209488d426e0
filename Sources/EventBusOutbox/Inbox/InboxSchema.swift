internal import GRDB

/// The inbox's tables.
enum InboxSchema {
    /// Fences come from a row of their own: those of records that are gone must not come again.
    private static let v1 = """
        CREATE TABLE IF NOT EXISTS eventbus_inbox (
            subscription TEXT NOT NULL,
            event_id TEXT NOT NULL,
            fence INTEGER NOT NULL,
            is_completed INTEGER NOT NULL,
            ends_at INTEGER NOT NULL,
            UNIQUE (subscription, event_id)
        );
        CREATE INDEX IF NOT EXISTS eventbus_inbox_ends ON eventbus_inbox (ends_at);
        CREATE TABLE IF NOT EXISTS eventbus_inbox_fence (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            last INTEGER NOT NULL
        );
        """

    /// Adds the topic to the identity of a record, and the lease to a claim.
    ///
    /// The topic of an older record is unknown and stored as an empty text, which counts for every topic. The defaults
    /// let instances of an earlier release write to the table during a rolling deployment.
    private static let v2 = """
        CREATE TABLE eventbus_inbox_v2 (
            subscription TEXT NOT NULL,
            event_id TEXT NOT NULL,
            fence INTEGER NOT NULL,
            is_completed INTEGER NOT NULL,
            ends_at INTEGER NOT NULL,
            topic TEXT NOT NULL DEFAULT '',
            lease INTEGER NOT NULL DEFAULT 0,
            UNIQUE (subscription, event_id, topic)
        );
        INSERT INTO eventbus_inbox_v2 (subscription, event_id, fence, is_completed, ends_at)
            SELECT subscription, event_id, fence, is_completed, ends_at FROM eventbus_inbox;
        DROP TABLE eventbus_inbox;
        ALTER TABLE eventbus_inbox_v2 RENAME TO eventbus_inbox;
        CREATE INDEX eventbus_inbox_ends ON eventbus_inbox (ends_at);
        """

    /// Makes the tables as the first release had them, where they are missing.
    static func createV1(in db: Database) throws {
        try db.execute(sql: v1)
    }

    /// Brings the tables of the first release to the present form; does nothing where they have it already.
    static func upgradeToV2(in db: Database) throws {
        guard try !db.columns(in: "eventbus_inbox").contains(where: { $0.name == "topic" }) else { return }
        try db.execute(sql: v2)
    }
}
