import EventBusOutbox
import GRDB

/// The tables of the order service. A released migration is never changed. Its numbers are literals, independent of
/// constants elsewhere.
enum OrderSchema {
    /// Registers the tables of the service, the outbox and the inbox.
    static func registerMigrations(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("orders.v1") { db in try db.execute(sql: v1) }
        migrator.registerMigration("orders.v2") { db in try db.execute(sql: v2) }
        Outbox.registerMigration(in: &migrator)
        SQLiteInbox.registerMigration(in: &migrator)
    }

    /// The same tables in PostgreSQL. Orders are in the order of the bytes of their numbers, as in SQLite.
    static let postgres: KeyValuePairs = ["orders.v1": postgresV1]

    // An order's number grows with time, so the order of the key is the order of placement.
    private static let v1 = """
        CREATE TABLE orders (
            id TEXT NOT NULL PRIMARY KEY CHECK (length(CAST(id AS BLOB)) BETWEEN 1 AND 100),
            customer_id TEXT NOT NULL,
            placed_at TEXT NOT NULL,
            ship_country TEXT NOT NULL,
            total_cents INTEGER NOT NULL CHECK (total_cents >= 0),
            status TEXT NOT NULL CHECK (status IN ('placed', 'confirmed', 'cancelled')),
            reason TEXT CHECK (reason IN ('outOfStock', 'unknownProduct')),
            skus TEXT CHECK (skus IS NULL OR json_valid(skus)),
            correlation_id TEXT NOT NULL,
            CHECK ((status = 'cancelled') = (reason IS NOT NULL)),
            CHECK ((reason IS NULL) = (skus IS NULL))
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX orders_by_status ON orders (status, id);

        CREATE TABLE order_lines (
            order_id TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
            position INTEGER NOT NULL CHECK (position BETWEEN 0 AND 999),
            sku TEXT NOT NULL CHECK (length(sku) > 0),
            quantity INTEGER NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
            unit_price_cents INTEGER NOT NULL CHECK (unit_price_cents BETWEEN 0 AND 100000000),
            discount_basis_points INTEGER NOT NULL CHECK (discount_basis_points BETWEEN 0 AND 10000),
            PRIMARY KEY (order_id, position)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE order_history (
            order_id TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
            status TEXT NOT NULL CHECK (status IN ('placed', 'confirmed', 'cancelled')),
            at INTEGER NOT NULL CHECK (at > 0),
            PRIMARY KEY (order_id, status)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE idempotency_keys (
            key TEXT NOT NULL PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 255),
            order_id TEXT NOT NULL UNIQUE REFERENCES orders (id) ON DELETE CASCADE,
            stored_at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX idempotency_keys_by_time ON idempotency_keys (stored_at);
        """

    // Keys that were stored before belong to clients without tokens.
    private static let v2 = """
        CREATE TABLE idempotency_keys_v2 (
            client TEXT NOT NULL,
            key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
            order_id TEXT NOT NULL UNIQUE REFERENCES orders (id) ON DELETE CASCADE,
            stored_at INTEGER NOT NULL,
            PRIMARY KEY (client, key)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO idempotency_keys_v2 SELECT '', key, order_id, stored_at FROM idempotency_keys;
        DROP TABLE idempotency_keys;
        ALTER TABLE idempotency_keys_v2 RENAME TO idempotency_keys;
        CREATE INDEX idempotency_keys_by_time ON idempotency_keys (stored_at);
        """

    private static let postgresV1 = """
        CREATE TABLE orders (
            id text COLLATE "C" NOT NULL PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 100),
            customer_id text NOT NULL,
            placed_at text NOT NULL,
            ship_country text NOT NULL,
            total_cents bigint NOT NULL CHECK (total_cents >= 0),
            status text NOT NULL CHECK (status IN ('placed', 'confirmed', 'cancelled')),
            reason text CHECK (reason IN ('outOfStock', 'unknownProduct')),
            skus text CHECK (skus IS NULL OR skus::json IS NOT NULL),
            correlation_id text NOT NULL,
            CHECK ((status = 'cancelled') = (reason IS NOT NULL)),
            CHECK ((reason IS NULL) = (skus IS NULL))
        );
        CREATE INDEX orders_by_status ON orders (status, id);

        CREATE TABLE order_lines (
            order_id text COLLATE "C" NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
            position integer NOT NULL CHECK (position BETWEEN 0 AND 999),
            sku text NOT NULL CHECK (length(sku) > 0),
            quantity bigint NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
            unit_price_cents bigint NOT NULL CHECK (unit_price_cents BETWEEN 0 AND 100000000),
            discount_basis_points integer NOT NULL CHECK (discount_basis_points BETWEEN 0 AND 10000),
            PRIMARY KEY (order_id, position)
        );

        CREATE TABLE order_history (
            order_id text COLLATE "C" NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
            status text NOT NULL CHECK (status IN ('placed', 'confirmed', 'cancelled')),
            at bigint NOT NULL CHECK (at > 0),
            PRIMARY KEY (order_id, status)
        );

        CREATE TABLE idempotency_keys (
            client text NOT NULL,
            key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
            order_id text COLLATE "C" NOT NULL UNIQUE REFERENCES orders (id) ON DELETE CASCADE,
            stored_at bigint NOT NULL,
            PRIMARY KEY (client, key)
        );
        CREATE INDEX idempotency_keys_by_time ON idempotency_keys (stored_at);
        """
}
