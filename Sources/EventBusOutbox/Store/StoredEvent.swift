internal import EventBus
internal import Foundation
internal import GRDB

/// A sequence of events that are published one after another: the events of one key, or a single event without a key.
enum Lane: Hashable, Sendable {
    case key(ExactString)
    case single(Int64)
}

/// An event in the outbox.
struct StoredEvent: Sendable {
    /// The position among all events ever stored in this outbox.
    var sequence: Int64
    var envelope: Envelope
    var storedAt = EventTime(milliseconds: 0)
    /// The time at which subscribers are to receive the event, or `nil` for immediately.
    var deliverAt: EventTime?
    var requiresSubscriber = false
    /// The number of failed attempts that count.
    var attempts = 0
    /// The number of times that the broker refused the event or gave no answer. These use up no attempt.
    var holds = 0
    /// A Boolean value indicating whether the event was set aside for lack of a subscription, and now serves to check
    /// for one.
    var isProbe = false

    var lane: Lane { isProbe ? .single(sequence) : envelope.exactPartitionKey.map(Lane.key) ?? .single(sequence) }

    /// The approximate number of bytes in memory.
    var size: Int { envelope.payload.count + 512 }

    /// Returns the delay to request from the broker if the event is published at `time`.
    ///
    /// It never exceeds the delay that the event had when it was stored. If it would, the clock has been set back
    /// since.
    func delay(at time: EventTime) -> Duration {
        guard let deliverAt else { return .zero }
        return max(.zero, min(deliverAt.since(time), deliverAt.since(storedAt)))
    }
}

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

    /// Clamps a stored number of attempts to 0 through 10,000.
    private static func count(_ stored: Int64) -> Int { Int(max(0, min(stored, 10_000))) }
}

extension Envelope {
    /// Creates the envelope of a row of the outbox, or of the parked events.
    ///
    /// - Throws: An error if the row contains no valid envelope.
    init(row: Row) throws {
        var headers = try StoredHeaders.headers(from: try row.optional(.headers))
        let contentEncoding = headers[Self.storedEncoding]?.string
        headers[Self.storedEncoding] = nil
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

    /// The reserved header that stores the content encoding, because the table has no column for it.
    private static let storedEncoding = "x-eventbus-content-encoding"

    /// The headers, including the content encoding.
    private var storedHeaders: EventHeaders {
        guard let contentEncoding else { return headers }
        var stored = headers
        stored[Self.storedEncoding] = .string(contentEncoding)
        return stored
    }

    /// Returns the values of the columns from `event_id` to `payload`.
    func columnValues() throws -> StatementArguments {
        [
            StoredText(id.rawValue), topic.rawValue, partitionKey.map(StoredText.init), StoredText(contentType),
            version,
            time.milliseconds, source.map(StoredText.init), (correlationID?.rawValue).map(StoredText.init),
            (causationID?.rawValue).map(StoredText.init), try StoredHeaders.text(for: storedHeaders), Data(payload),
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
