/// A row that a statement returned.
public struct PostgresRow: Sendable {
    /// The positions of the columns by name.
    let columns: [String: Int]
    let values: [String?]

    /// The value of a column as text, or `nil` if it is `NULL` or there is no such column.
    public subscript(column: String) -> String? {
        columns[column].flatMap { values[$0] }
    }
}

/// The answer to a statement.
public struct PostgresResult: Sendable {
    /// The returned rows.
    public var rows: [PostgresRow] = []
    /// The number of rows that were inserted, changed, deleted or returned.
    public var affectedCount = 0
    /// The name of the command, with which the server ends its answer.
    var command = ""
}
