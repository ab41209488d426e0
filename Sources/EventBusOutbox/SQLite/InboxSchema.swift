#if SQLite
internal import GRDB

/// The tables of the inbox.
enum InboxSchema {
    /// The tables of the first version. Fences are drawn from a separate row, because those of deleted records must not
    /// be reused.
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

    /// The changes of the second version, which add the topic to the identity of a record, and the lease to a claim.
    ///
    /// The topic of an older record is unknown and stored as an empty text, which matches every topic. The defaults
    /// allow instances of an earlier release to write to the table during a rolling deployment.
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

    /// The change of the third version, which adds a digest of the payload. Records without one match every payload.
    private static let v3 = "ALTER TABLE eventbus_inbox ADD COLUMN payload_digest INTEGER"

    /// Creates the tables of the first release, unless they exist.
    static func createV1(in db: Database) throws {
        try db.execute(sql: v1)
    }

    /// Migrates the tables of the first release to the second version. Does nothing if they are newer.
    static func upgradeToV2(in db: Database) throws {
        guard try !db.columns(in: "eventbus_inbox").contains(where: { $0.name == "topic" }) else { return }
        try db.execute(sql: v2)
    }

    /// Migrates the tables of the second version to the current one. Does nothing if they are current.
    static func upgradeToV3(in db: Database) throws {
        guard try !db.columns(in: "eventbus_inbox").contains(where: { $0.name == "payload_digest" }) else { return }
        try db.execute(sql: v3)
    }
}
#endif
