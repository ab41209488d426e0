internal import EventBus

/// The settings of every transaction of the bus, whatever those of the role.
///
/// They belong to the transaction and not to the session. Behind a pooler, the next transaction may be in another session,
/// and this session then serves others.
enum TransactionSettings {
    /// The number of time limits for which a statement may read: as long as a part of its rows arrives within each.
    private static let readingFactor: Int64 = 20
    /// The number of time limits for which a transaction may be idle while its last rows are on their way.
    private static let arrivingFactor: Int64 = 4

    /// Returns the statements that begin a transaction of several batches.
    static func begin(_ configuration: PostgresConfiguration) -> [PostgresStatement] {
        // Whatever is the default of the role: the relay reads what others commit meanwhile.
        [PostgresStatement("BEGIN ISOLATION LEVEL READ COMMITTED, READ WRITE"), settings(configuration)]
    }

    /// Returns the first statements of a batch that is a transaction.
    static func implicit(_ configuration: PostgresConfiguration) -> [PostgresStatement] {
        // These two apply to the current transaction only. `SET TRANSACTION` does the same, but the server logs a warning.
        [
            PostgresStatement("SET transaction_isolation = 'read committed'"),
            PostgresStatement("SET transaction_read_only = off"), settings(configuration),
        ]
    }

    /// Returns the statement that allows slow reads in the rest of the transaction. The rows may be many or large.
    static func reading(_ configuration: PostgresConfiguration) -> PostgresStatement {
        let limit = milliseconds(configuration)
        return local([
            ("statement_timeout", capped(limit * readingFactor)),
            ("idle_in_transaction_session_timeout", capped(limit * arrivingFactor)),
        ])
    }

    private static func settings(_ configuration: PostgresConfiguration) -> PostgresStatement {
        // The server gives up a statement before the client does, so that locks do not outlast the caller.
        let limit = capped(milliseconds(configuration))
        return local([
            ("statement_timeout", limit), ("lock_timeout", limit), ("idle_in_transaction_session_timeout", limit),
            // An event must not be published before the transaction that stored it is on disk. A commit of the relay writes
            // all earlier ones.
            ("synchronous_commit", "on"),
            // The tables are small most of the time, and statistics of a queue are always wrong. A planner that believes
            // them reads and sorts a whole backlog to find its first rows.
            ("enable_seqscan", "off"), ("enable_bitmapscan", "off"), ("enable_tidscan", "on"), ("jit", "off"),
        ])
    }

    /// Returns a statement that changes settings until the end of the transaction.
    static func local(_ settings: [(name: String, value: String)]) -> PostgresStatement {
        PostgresStatement(
            "SELECT " + settings.map { _ in "set_config(?, ?, true)" }.joined(separator: ", "),
            settings.flatMap { [.text($0.name), .text($0.value)] }
        )
    }

    /// The time limit of a statement in milliseconds.
    private static func milliseconds(_ configuration: PostgresConfiguration) -> Int64 {
        max(1, configuration.boundedTimeout.inNanoseconds / 1_000_000)
    }

    /// Returns a number of milliseconds that the server accepts.
    private static func capped(_ milliseconds: Int64) -> String { "\(min(milliseconds, Int64(Int32.max)))" }
}

extension PostgresConfiguration {
    /// The `commandTimeout`, or the longest time limit of a server if that is less: 24.8 days.
    var boundedTimeout: Duration { min(commandTimeout, .milliseconds(Int64(Int32.max))) }
}
