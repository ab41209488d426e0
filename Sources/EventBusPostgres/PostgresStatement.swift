internal import EventBus

/// One SQL statement with its values, for any PostgreSQL driver.
///
/// ```swift
/// let statement = try outbox.row(for: OrderCreated(orderID: order.id))
/// try await transaction.execute(statement.sql, statement.values)
/// ```
///
/// Each placeholder occurs once, in the order of the values, so a driver with other placeholders can be given
/// ``sql(placeholder:)``.
public struct PostgresStatement: Hashable, Sendable {
    /// The parts of the text between the placeholders.
    private let parts: [String]
    /// The values, in the order of the placeholders.
    public let values: [PostgresValue]

    /// The text with the placeholders `$1`, `$2` and so on.
    public var sql: String { sql { "$\($0)" } }

    /// Creates a statement from a text in which `?` stands for each value.
    init(_ text: String, _ values: [PostgresValue] = []) {
        self.parts = text.split(separator: "?", omittingEmptySubsequences: false).map(String.init)
        self.values = values
        assert(parts.count == values.count + 1, "\(values.count) values for: \(text)")
    }

    /// Returns the statement that carries out this one, and returns its plan with the numbers of rows.
    var explained: PostgresStatement {
        PostgresStatement(parts: ["EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) " + parts[0]] + parts.dropFirst(), values)
    }

    private init(parts: [String], _ values: [PostgresValue]) {
        self.parts = parts
        self.values = values
    }

    /// Returns the statement if PostgreSQL stores its texts.
    func checked() throws(EventBusError) -> PostgresStatement {
        for case .text(let text) in values where text.utf8.contains(0) {
            throw EventBusError(.invalidEnvelope, "PostgreSQL stores no U+0000: \(text.quotedForError)")
        }
        return self
    }

    /// Returns the text with other placeholders.
    ///
    /// ```swift
    /// let text = statement.sql { position in ":\(position)" }
    /// ```
    ///
    /// - Parameter placeholder: A function that returns the placeholder of the value at a position, which begins at 1.
    public func sql(placeholder: (_ position: Int) -> String) -> String {
        var text = parts[0]
        for (index, part) in parts.dropFirst().enumerated() {
            text += placeholder(index + 1)
            text += part
        }
        return text
    }
}
