import BlockingExecutor

/// A connection that carries out one transaction after another, on a thread of its own.
actor PostgresSession {
    private let executor = BlockingExecutor(name: "postgres")
    private let address: ConnectionString
    private var connection: PostgresConnection?

    init(_ address: ConnectionString) {
        self.address = address
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Runs `body` in a transaction, which commits if `body` returns and is rolled back if it throws.
    ///
    /// If the connection is lost while it commits, the transaction may have committed nevertheless.
    func transaction<Value: Sendable>(
        _ begin: String,
        within timeout: Duration,
        _ body: @Sendable (PostgresTransaction) throws -> Value
    ) throws -> Value {
        // The server gives up too, instead of keeping the locks of a statement whose answer nobody waits for.
        let milliseconds = max(1, Int64(timeout / .milliseconds(1)))
        let connection = try begun(
            "\(begin); SET LOCAL statement_timeout = \(milliseconds)",
            by: .now + timeout
        )
        do {
            let value = try body(PostgresTransaction(connection: connection))
            // A transaction with a failed statement answers ROLLBACK.
            guard try connection.execute("COMMIT", []).command == "COMMIT" else {
                throw PostgresError.invalid("the transaction was rolled back, because one of its statements failed")
            }
            return value
        } catch {
            // If the rollback fails, the server rolls back when the connection is closed.
            _ = try? connection.execute("ROLLBACK", [])
            if !connection.isIdle { self.connection = nil }
            throw error
        }
    }

    func close() {
        connection = nil
    }

    /// Begins a transaction, on a new connection if the present one was lost since it was last used.
    private func begun(_ begin: String, by deadline: ContinuousClock.Instant) throws -> PostgresConnection {
        if let connection {
            connection.deadline = deadline
            if (try? connection.executeScript(begin)) != nil { return connection }
            self.connection = nil
        }
        let connection = try PostgresConnection(address, deadline: deadline)
        try connection.executeScript(begin)
        self.connection = connection
        return connection
    }
}
