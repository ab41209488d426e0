import GRDB
import PostgresDriver

/// A row of a query.
public struct SQLRow {
    enum Storage {
        case sqlite(Row)
        case postgres(PostgresRow)
    }

    private let storage: Storage

    init(_ storage: Storage) {
        self.storage = storage
    }

    /// Returns the text in a column.
    ///
    /// - Throws: ``UnreadableColumn`` if it is `NULL`, or if there is no such column.
    public func text(_ column: String) throws(UnreadableColumn) -> String {
        guard let text = optionalText(column) else { throw UnreadableColumn(column: column) }
        return text
    }

    /// Returns the text in a column, or `nil` if it is `NULL`.
    public func optionalText(_ column: String) -> String? {
        switch storage {
        case .sqlite(let row): row[column]
        case .postgres(let row): row[column]
        }
    }

    /// Returns the number in a column.
    ///
    /// - Throws: ``UnreadableColumn`` if it is `NULL` or no integer, or if there is no such column.
    public func integer(_ column: String) throws(UnreadableColumn) -> Int {
        let number: Int? =
            switch storage {
            case .sqlite(let row): row[column]
            case .postgres(let row): row[column].flatMap { Int($0) }
            }
        guard let number else { throw UnreadableColumn(column: column) }
        return number
    }
}

/// The error for a column without the expected value.
public struct UnreadableColumn: Error, Hashable, CustomStringConvertible {
    /// The name of the column.
    public var column: String

    /// A description of the error.
    public var description: String { "the column \(column) of the database cannot be read" }
}
