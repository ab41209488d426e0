#if SQLite
internal import GRDB

/// The tables of the outbox.
///
/// `eventbus_outbox` contains the events that can be published. Its column `due_at` makes finding work cheap, however
/// many events wait. It is 0 for a new event that may be published, a time (milliseconds since 1970) for one that is
/// tried again, and NULL for one that waits behind another event of its key. Only the first event of a key is ever due.
///
/// An event keeps its number in every table, so that it can return to its place.
enum OutboxSchema {
    /// The columns that an event has in each of its tables.
    private static let columns = """
        event_id TEXT NOT NULL,
            topic TEXT NOT NULL,
            partition_key TEXT,
            content_type TEXT NOT NULL,
            version INTEGER NOT NULL,
            time INTEGER NOT NULL,
            source TEXT,
            correlation_id TEXT,
            causation_id TEXT,
            headers TEXT,
            payload BLOB NOT NULL,
            stored_at INTEGER NOT NULL,
            deliver_at INTEGER,
            requires_subscriber INTEGER NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0
        """

    // AUTOINCREMENT, because a deleted number must not be reused. Otherwise a late delete would remove another event.
    static let v1 = """
        CREATE TABLE IF NOT EXISTS eventbus_outbox (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            \(columns),
            unrouted INTEGER NOT NULL DEFAULT 0,
            last_error TEXT,
            due_at INTEGER
        );
        CREATE INDEX IF NOT EXISTS eventbus_outbox_due ON eventbus_outbox (due_at) WHERE due_at IS NOT NULL;
        CREATE INDEX IF NOT EXISTS eventbus_outbox_key ON eventbus_outbox (partition_key)
            WHERE partition_key IS NOT NULL;
        CREATE TABLE IF NOT EXISTS eventbus_outbox_parked (
            sequence INTEGER PRIMARY KEY,
            \(columns),
            parked_at INTEGER NOT NULL,
            reason TEXT NOT NULL,
            error_type TEXT NOT NULL,
            message TEXT NOT NULL
        );
        CREATE TABLE IF NOT EXISTS eventbus_outbox_relay (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            owner TEXT NOT NULL,
            expires_at INTEGER NOT NULL
        );
        """

    /// The changes of the second version. The index on `due_at` contains every row, so that rows are counted without
    /// reading the events. The column `unrouted` has counted since then how often an event was held up by the broker.
    static let v2 = """
        CREATE INDEX IF NOT EXISTS eventbus_outbox_due_at ON eventbus_outbox (due_at);
        DROP INDEX IF EXISTS eventbus_outbox_due;
        CREATE INDEX IF NOT EXISTS eventbus_outbox_parked_at ON eventbus_outbox_parked (parked_at);
        CREATE TABLE IF NOT EXISTS eventbus_outbox_unrouted (
            sequence INTEGER PRIMARY KEY,
            \(columns)
        );
        CREATE INDEX IF NOT EXISTS eventbus_outbox_unrouted_topic ON eventbus_outbox_unrouted (topic);
        CREATE TABLE IF NOT EXISTS eventbus_outbox_topic (
            topic TEXT PRIMARY KEY NOT NULL,
            tries INTEGER NOT NULL,
            next_at INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX IF NOT EXISTS eventbus_outbox_topic_next_at ON eventbus_outbox_topic (next_at);
        CREATE TABLE IF NOT EXISTS eventbus_outbox_delayed (
            sequence INTEGER PRIMARY KEY,
            \(columns),
            ready_at INTEGER NOT NULL
        );
        CREATE INDEX IF NOT EXISTS eventbus_outbox_delayed_ready_at ON eventbus_outbox_delayed (ready_at);
        CREATE INDEX IF NOT EXISTS eventbus_outbox_delayed_stored_at ON eventbus_outbox_delayed (stored_at);
        CREATE TABLE IF NOT EXISTS eventbus_outbox_state (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            replays INTEGER NOT NULL
        );
        """

    /// Creates the tables of the first version, unless they exist.
    static func createFirst(in db: Database) throws {
        // Not again on a later version, which has other indexes.
        if try !db.tableExists("eventbus_outbox_state") { try db.execute(sql: v1) }
    }

    /// Adds the changes of the second version.
    static func upgrade(in db: Database) throws {
        try db.execute(sql: v2)
        if try !db.columns(in: "eventbus_outbox_relay").contains(where: { $0.name == "duration" }) {
            try db.execute(sql: "ALTER TABLE eventbus_outbox_relay ADD COLUMN duration INTEGER")
        }
    }

    /// The names of the columns that an event keeps from table to table.
    static let carriedColumns = """
        event_id, topic, partition_key, content_type, version, time, source, correlation_id, causation_id, headers, \
        payload, stored_at, deliver_at, requires_subscriber
        """

    /// The columns that are selected to read an event from the outbox, in the order of ``EventColumn``.
    static let eventColumns = "\(carriedColumns), sequence, attempts, unrouted"
    /// The columns that are selected to read an event from another table, in the order of ``EventColumn``.
    static let otherEventColumns = "\(carriedColumns), sequence, attempts, 0"
}
#endif
