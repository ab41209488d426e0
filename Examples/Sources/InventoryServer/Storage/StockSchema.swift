import EventBusOutbox
import GRDB

/// The tables of the inventory service. A released migration is never changed. Its numbers are literals, independent of
/// constants elsewhere.
enum StockSchema {
    /// Registers the tables of the service, the outbox and the inbox.
    static func registerMigrations(in migrator: inout DatabaseMigrator) {
        migrator.registerMigration("inventory.v1") { db in try db.execute(sql: v1) }
        Outbox.registerMigration(in: &migrator)
        SQLiteInbox.registerMigration(in: &migrator)
    }

    /// The same tables in PostgreSQL. Products are in the order of their bytes, as in SQLite.
    static let postgres: KeyValuePairs = ["inventory.v1": postgresV1]

    // Lock and fencing token keep a quantity from falling below zero. If both failed, the constraint would.
    private static let v1 = """
        CREATE TABLE stock (
            sku TEXT NOT NULL PRIMARY KEY CHECK (length(sku) > 0),
            name TEXT NOT NULL,
            quantity INTEGER NOT NULL,
            unit_price_cents INTEGER NOT NULL,
            fence INTEGER NOT NULL DEFAULT 0,
            CONSTRAINT more_is_reserved_than_there_is CHECK (quantity >= 0)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE decisions (
            order_id TEXT NOT NULL PRIMARY KEY,
            outcome TEXT NOT NULL CHECK (outcome IN ('reserved', 'rejected')),
            reason TEXT CHECK (reason IN ('outOfStock', 'unknownProduct')),
            decided_at INTEGER NOT NULL,
            CHECK ((outcome = 'rejected') = (reason IS NOT NULL))
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE decision_lines (
            order_id TEXT NOT NULL REFERENCES decisions (order_id) ON DELETE CASCADE,
            sku TEXT NOT NULL,
            quantity INTEGER NOT NULL CHECK (quantity >= 0),
            PRIMARY KEY (order_id, sku)
        ) STRICT, WITHOUT ROWID;
        """

    private static let postgresV1 = """
        CREATE TABLE stock (
            sku text COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(sku) > 0),
            name text NOT NULL,
            quantity bigint NOT NULL,
            unit_price_cents bigint NOT NULL,
            fence bigint NOT NULL DEFAULT 0,
            CONSTRAINT more_is_reserved_than_there_is CHECK (quantity >= 0)
        );

        CREATE TABLE decisions (
            order_id text COLLATE "C" NOT NULL PRIMARY KEY,
            outcome text NOT NULL CHECK (outcome IN ('reserved', 'rejected')),
            reason text CHECK (reason IN ('outOfStock', 'unknownProduct')),
            decided_at bigint NOT NULL,
            CHECK ((outcome = 'rejected') = (reason IS NOT NULL))
        );

        CREATE TABLE decision_lines (
            order_id text COLLATE "C" NOT NULL REFERENCES decisions (order_id) ON DELETE CASCADE,
            sku text COLLATE "C" NOT NULL,
            quantity bigint NOT NULL CHECK (quantity >= 0),
            PRIMARY KEY (order_id, sku)
        );
        """
}
