extension PostgresMigration {
    /// The columns that an event has in each of its tables.
    private static let columns = """
        event_id text NOT NULL,
            topic text NOT NULL,
            partition_key text,
            content_type text NOT NULL,
            version bigint NOT NULL,
            time bigint NOT NULL,
            source text,
            correlation_id text,
            causation_id text,
            headers text,
            payload bytea NOT NULL,
            stored_at bigint NOT NULL,
            deliver_at bigint,
            requires_subscriber boolean NOT NULL,
            attempts integer NOT NULL DEFAULT 0
        """

    /// The settings of a table whose rows live for a moment. Vacuuming starts after a number of changes instead of a
    /// share of the rows, and does not pause.
    private static let shortLived = """
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0
        """

    /// The first version of the outbox.
    ///
    /// `due_at` is 0 for an event as it was stored, a time (milliseconds since 1970) for one that is tried later, and
    /// NULL for one that was seen behind another event of its key. A transaction that stores an event cannot know the
    /// events of concurrent ones, so the relay decides which is the first of a key.
    ///
    /// A number is drawn after the transaction has its id, because an argument is evaluated before its function. So a
    /// number that was drawn before some moment belongs to a transaction whose id is less than one that is assigned after
    /// that moment. See ``SequenceFloor``.
    ///
    /// The trigger does not notify of the relay's transactions. It runs for each statement, even one that adds nothing, so
    /// a relay would wake itself again and again.
    static let outboxV1 = PostgresMigration(
        name: "eventbus.outbox.v1",
        sql: """
            CREATE SEQUENCE eventbus_outbox_sequence;
            CREATE TABLE eventbus_outbox (
                sequence bigint PRIMARY KEY DEFAULT nextval(
                    CASE WHEN pg_current_xact_id() IS NOT NULL THEN 'eventbus_outbox_sequence'::regclass END
                ),
                \(columns),
                holds integer NOT NULL DEFAULT 0,
                last_error text,
                due_at bigint DEFAULT 0
            ) WITH (\(shortLived));
            ALTER SEQUENCE eventbus_outbox_sequence OWNED BY eventbus_outbox.sequence;
            CREATE INDEX eventbus_outbox_due_at ON eventbus_outbox (due_at, sequence);
            CREATE INDEX eventbus_outbox_key ON eventbus_outbox (partition_key, sequence)
                WHERE partition_key IS NOT NULL;
            CREATE TABLE eventbus_outbox_unrouted (
                sequence bigint PRIMARY KEY,
                \(columns)
            );
            CREATE INDEX eventbus_outbox_unrouted_topic ON eventbus_outbox_unrouted (topic, sequence);
            CREATE TABLE eventbus_outbox_delayed (
                sequence bigint PRIMARY KEY,
                \(columns),
                ready_at bigint NOT NULL
            );
            CREATE INDEX eventbus_outbox_delayed_ready_at ON eventbus_outbox_delayed (ready_at);
            CREATE INDEX eventbus_outbox_delayed_stored_at ON eventbus_outbox_delayed (stored_at);
            CREATE TABLE eventbus_outbox_parked (
                sequence bigint PRIMARY KEY,
                \(columns),
                parked_at bigint NOT NULL,
                reason text NOT NULL,
                error_type text NOT NULL,
                message text NOT NULL
            );
            CREATE TABLE eventbus_outbox_topic (
                topic text PRIMARY KEY,
                tries bigint NOT NULL,
                next_at bigint NOT NULL
            );
            CREATE INDEX eventbus_outbox_topic_next_at ON eventbus_outbox_topic (next_at);
            CREATE TABLE eventbus_outbox_relay (
                id integer PRIMARY KEY CHECK (id = 1),
                owner text NOT NULL,
                expires_at bigint NOT NULL,
                duration bigint NOT NULL
            );
            INSERT INTO eventbus_outbox_relay (id, owner, expires_at, duration) VALUES (1, '', 0, 0);
            CREATE TABLE eventbus_outbox_state (
                id integer PRIMARY KEY CHECK (id = 1),
                replays bigint NOT NULL
            );
            INSERT INTO eventbus_outbox_state (id, replays) VALUES (1, 0);
            CREATE FUNCTION eventbus_outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $notify$
            BEGIN
                IF current_setting('eventbus.relay', true) IS DISTINCT FROM 'on' THEN
                    PERFORM pg_notify('eventbus_outbox', '');
                END IF;
                RETURN NULL;
            END
            $notify$;
            CREATE TRIGGER eventbus_outbox_notify AFTER INSERT ON eventbus_outbox
                FOR EACH STATEMENT EXECUTE FUNCTION eventbus_outbox_notify();
            """
    )
}
