/// An error of PostgreSQL or of the connection to it. It contains no password.
public struct PostgresError: Error, Hashable, CustomStringConvertible {
    /// The code of five characters with which the server refused a statement, or `nil` if there was no answer.
    public var sqlState: String?
    /// The reason for people.
    public var message: String
    /// A Boolean value indicating whether the same work may succeed later, because the server or the connection failed.
    public var isTemporary: Bool

    /// A Boolean value indicating whether a value is at fault, which PostgreSQL will never store.
    public var isAboutValue: Bool { sqlState?.hasPrefix("22") == true }

    /// The message and the code.
    public var description: String { sqlState.map { "\(message) (SQLSTATE \($0))" } ?? message }

    /// Creates the error for a connection that is lost, busy or cannot be made.
    static func unavailable(_ message: String) -> PostgresError {
        PostgresError(sqlState: nil, message: message, isTemporary: true)
    }

    /// Creates the error for a mistake of the caller.
    static func invalid(_ message: String) -> PostgresError {
        PostgresError(sqlState: nil, message: message, isTemporary: false)
    }

    /// Creates the error for a refused statement.
    static func refused(sqlState: String, _ message: String) -> PostgresError {
        // Conflicts between transactions, connections, resources, operators, and servers that only read.
        let temporary = ["08", "25", "40", "53", "55", "57", "58"]
        return PostgresError(
            sqlState: sqlState,
            message: message,
            isTemporary: temporary.contains(String(sqlState.prefix(2)))
        )
    }
}
