#if SQLite
internal import EventBus
internal import Foundation
internal import GRDB

/// The columns of an event by their position in `OutboxSchema.eventColumns`, because a lookup by name takes longer than
/// the read itself.
enum EventColumn: Int {
    case eventID, topic, partitionKey, contentType, version, time, source, correlationID, causationID, headers
    case payload, storedAt, deliverAt, requiresSubscriber, sequence, attempts, holds
}

extension StoredEvent {
    /// Creates the event of a row of the outbox.
    ///
    /// - Throws: An error if the row contains no valid envelope.
    init(row: Row) throws {
        self.init(
            sequence: try row.value(.sequence),
            envelope: try Envelope(row: row),
            storedAt: EventTime(milliseconds: try row.value(.storedAt)),
            deliverAt: try row.optional(.deliverAt).map(EventTime.init(milliseconds:)),
            requiresSubscriber: try row.value(.requiresSubscriber),
            attempts: Self.count(try row.value(.attempts)),
            holds: Self.count(try row.value(.holds))
        )
    }
}

extension Envelope {
    /// Creates the envelope of a row of the outbox, or of the parked events.
    ///
    /// - Throws: An error if the row contains no valid envelope.
    init(row: Row) throws {
        let (headers, contentEncoding) = try StoredHeaders.read(try row.optional(.headers))
        self.init(
            id: EventID(try row.value(.eventID)),
            topic: try Topic(validating: try row.value(.topic)),
            payload: Array(try row.value(.payload) as Data),
            contentType: try row.value(.contentType),
            contentEncoding: contentEncoding,
            version: try row.value(.version),
            time: EventTime(milliseconds: try row.value(.time)),
            source: try row.optional(.source),
            correlationID: try row.optional(.correlationID).map { CorrelationID($0 as String) },
            causationID: try row.optional(.causationID).map { EventID($0 as String) },
            partitionKey: try row.optional(.partitionKey),
            headers: headers
        )
    }

    /// Returns the values of the columns from `event_id` to `payload`.
    func columnValues() throws -> StatementArguments {
        [
            StoredText(id.rawValue), topic.rawValue, partitionKey.map(StoredText.init), StoredText(contentType),
            version,
            time.milliseconds, source.map(StoredText.init), (correlationID?.rawValue).map(StoredText.init),
            (causationID?.rawValue).map(StoredText.init), try StoredHeaders.text(for: self), Data(payload),
        ]
    }
}

extension Row {
    // GRDB's own subscripts trap on a value of another type, which must not happen for rows that others wrote.

    /// Returns the value of a column, or throws if it is NULL or has another type.
    func value<Value: DatabaseValueConvertible>(_ column: EventColumn) throws(EventBusError) -> Value {
        try Self.required(self[column.rawValue], "\(column)")
    }

    /// Returns the value of a column, or `nil` for NULL.
    func optional<Value: DatabaseValueConvertible>(_ column: EventColumn) throws(EventBusError) -> Value? {
        try Self.convert(self[column.rawValue], "\(column)")
    }

    /// Returns the value of a column, or throws if it is NULL or has another type.
    func value<Value: DatabaseValueConvertible>(_ column: String) throws(EventBusError) -> Value {
        try Self.required(self[column], column)
    }

    private static func required<Value: DatabaseValueConvertible>(
        _ stored: DatabaseValue,
        _ column: @autoclosure () -> String
    ) throws(EventBusError) -> Value {
        guard let value: Value = try convert(stored, column()) else {
            throw EventBusError(.decodingFailed, "the column \(column()) of a stored row is NULL")
        }
        return value
    }

    private static func convert<Value: DatabaseValueConvertible>(
        _ stored: DatabaseValue,
        _ column: @autoclosure () -> String
    ) throws(EventBusError) -> Value? {
        if stored.isNull { return nil }
        let isText = Value.self == String.self
        guard
            let value = isText
                ? StoredText.fromDatabaseValue(stored)?.text as? Value : Value.fromDatabaseValue(stored)
        else {
            throw EventBusError(
                .decodingFailed,
                "the column \(column()) of a stored row holds no \(Value.self): \("\(stored)".quotedForError)"
            )
        }
        return value
    }
}
#endif
