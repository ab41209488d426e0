extension PostgresMigration {
    /// The first version of the inbox. Times are those of the server, in milliseconds. The event's id is stored as
    /// bytes, because another publisher may have put U+0000 into it.
    static let inboxV1 = PostgresMigration(
        name: "eventbus.inbox.v1",
        sql: """
            CREATE SEQUENCE eventbus_inbox_fence;
            CREATE TABLE eventbus_inbox (
                subscription text NOT NULL,
                event_id bytea NOT NULL,
                topic text NOT NULL,
                fence bigint NOT NULL DEFAULT nextval('eventbus_inbox_fence'::regclass),
                is_completed boolean NOT NULL,
                ends_at bigint NOT NULL,
                lease bigint NOT NULL,
                payload_digest bigint,
                PRIMARY KEY (subscription, event_id, topic)
            );
            ALTER SEQUENCE eventbus_inbox_fence OWNED BY eventbus_inbox.fence;
            CREATE INDEX eventbus_inbox_ends_at ON eventbus_inbox (ends_at);
            """
    )
}
