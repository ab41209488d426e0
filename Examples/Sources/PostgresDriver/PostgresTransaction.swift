/// A running transaction. It must not be used after the closure that received it has returned.
public struct PostgresTransaction {
    let connection: PostgresConnection

    /// Carries out a statement.
    ///
    /// - Parameters:
    ///   - sql: The statement, with the placeholders `$1`, `$2` and so on.
    ///   - values: The values of the placeholders. They are sent apart from the statement.
    /// - Throws: ``PostgresError``. After an error, the transaction can only be rolled back.
    @discardableResult
    public func execute(_ sql: String, _ values: [SQLValue] = []) throws -> PostgresResult {
        try connection.execute(sql, values)
    }

    /// Carries out several statements without values, separated by semicolons.
    ///
    /// - Throws: ``PostgresError``.
    public func executeScript(_ sql: String) throws {
        try connection.executeScript(sql)
    }

    /// Runs `body`, and takes back its changes alone if it throws.
    ///
    /// - Throws: ``PostgresError``, or the error of `body`.
    public func savepoint<Value>(_ body: () throws -> Value) throws -> Value {
        try execute("SAVEPOINT part")
        do {
            let value = try body()
            try execute("RELEASE SAVEPOINT part")
            return value
        } catch {
            try execute("ROLLBACK TO SAVEPOINT part")
            try execute("RELEASE SAVEPOINT part")
            throw error
        }
    }
}
