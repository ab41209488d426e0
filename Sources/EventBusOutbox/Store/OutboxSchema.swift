internal import GRDB

/// The outbox's tables.
///
/// `eventbus_outbox` holds what can go out. Its `due_at` makes finding work cheap whatever waits: it is 0 for a new event
/// that may go out, a time (milliseconds since 1970) for one that is tried again, and NULL for one that waits behind
/// another of its key. Only the first event of a key is ever due.
///
/// An event keeps its number in every table, so that it can go back to its place.
enum OutboxSchema {
    /// A table that holds events.
    enum Table: String, Hashable, Sendable {
        case outbox = "eventbus_outbox"
        /// Events that nobody subscribes to; `eventbus_outbox_topic` says when their topic is tried again.
        case unrouted = "eventbus_outbox_unrouted"
        /// Events whose delay is longer than the broker can hold them.
        case delayed = "eventbus_outbox_delayed"
        case parked = "eventbus_outbox_parked"
    }

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

    // AUTOINCREMENT: a number that was deleted must not come again, or a late delete would hit another event.
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

    /// What came later. The index on `due_at` holds every row, so that they are counted without reading the events; the
    /// column `unrouted` counts since then how often an event was held up by the broker.
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

    /// Creates the tables of the first version where they are missing.
    static func createFirst(in db: Database) throws {
        // Not again on a later version: its indexes are others.
        if try !db.tableExists("eventbus_outbox_state") { try db.execute(sql: v1) }
    }

    /// Adds what the second version has.
    static func upgrade(in db: Database) throws {
        try db.execute(sql: v2)
        if try !db.columns(in: "eventbus_outbox_relay").contains(where: { $0.name == "duration" }) {
            try db.execute(sql: "ALTER TABLE eventbus_outbox_relay ADD COLUMN duration INTEGER")
        }
    }

    /// The names of the columns that an event takes along from table to table.
    static let carriedColumns = """
        event_id, topic, partition_key, content_type, version, time, source, correlation_id, causation_id, headers, \
        payload, stored_at, deliver_at, requires_subscriber
        """

    /// What is selected to read an event from the outbox, in the order of ``EventColumn``.
    static let eventColumns = "\(carriedColumns), sequence, attempts, unrouted"
    /// What is selected to read an event from another table, in the order of ``EventColumn``.
    static let otherEventColumns = "\(carriedColumns), sequence, attempts, 0"
}
