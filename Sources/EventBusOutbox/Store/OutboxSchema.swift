/// The outbox's tables.
///
/// `due_at` makes finding work cheap whatever waits: it is 0 for a new event that may go out, a time (milliseconds since
/// 1970) for one that is tried again, and NULL for one that waits behind another of its key. Only the first event of a
/// key is ever due.
enum OutboxSchema {
    /// The columns that an event has both while it waits and once it is parked.
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

    /// The names of the columns that an event takes along when it is parked or replayed.
    static let carriedColumns = """
        event_id, topic, partition_key, content_type, version, time, source, correlation_id, causation_id, headers, \
        payload, stored_at, deliver_at, requires_subscriber
        """

    /// What is selected to read an event from the outbox, in the order of ``EventColumn``.
    static let eventColumns = "\(carriedColumns), sequence, attempts, unrouted"
}
