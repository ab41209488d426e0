internal import EventBus
internal import Foundation
internal import GRDB

/// What has to go out one after another: the events of one partition key, or a single event without one.
enum Lane: Hashable, Sendable {
    case key(ExactString)
    case single(Int64)
}

/// An event in the outbox.
struct StoredEvent: Sendable {
    /// Its place among all events ever stored in this outbox.
    var sequence: Int64
    var envelope: Envelope
    var storedAt = EventTime(milliseconds: 0)
    /// When subscribers are to see it, if not at once.
    var deliverAt: EventTime?
    var requiresSubscriber = false
    /// Attempts that failed, and that count.
    var attempts = 0
    /// How often the broker held it up: it refused the event, or gave no answer. This uses up no attempt.
    var holds = 0
    /// Whether it was set aside, since nobody subscribed to its topic, and finds out whether somebody does now.
    var isProbe = false

    var lane: Lane { isProbe ? .single(sequence) : envelope.exactPartitionKey.map(Lane.key) ?? .single(sequence) }

    /// The time for which the broker is to hold the event, if it goes out at `time`.
    ///
    /// It is never longer than it was when the event was stored: otherwise the clock has been set back since.
    func delay(at time: EventTime) -> Duration {
        guard let deliverAt else { return .zero }
        return max(.zero, min(deliverAt.since(time), deliverAt.since(storedAt)))
    }
}

/// The columns of an event, by their place in `OutboxSchema.eventColumns`: a look-up by name costs more than the reading.
enum EventColumn: Int {
    case eventID, topic, partitionKey, contentType, version, time, source, correlationID, causationID, headers
    case payload, storedAt, deliverAt, requiresSubscriber, sequence, attempts, holds
}

extension StoredEvent {
    /// The event in a row of the outbox.
    ///
    /// - Throws: Where the row holds no envelope.
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

    /// A number of tries, kept within what can be counted on.
    private static func count(_ stored: Int64) -> Int { Int(max(0, min(stored, 10_000))) }
}

extension Envelope {
    /// The envelope in a row of the outbox, or of the parked events.
    ///
    /// - Throws: Where the row holds no envelope.
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

    /// The reserved header under which the content encoding is stored: the table has no column for it.
    private static let storedEncoding = "x-eventbus-content-encoding"

    /// The headers and the content encoding.
    private var storedHeaders: EventHeaders {
        guard let contentEncoding else { return headers }
        var stored = headers
        stored[Self.storedEncoding] = .string(contentEncoding)
        return stored
    }

    /// The values of the columns from `event_id` to `payload`.
    func columnValues() throws -> StatementArguments {
        [
            id.rawValue, topic.rawValue, partitionKey, contentType, version, time.milliseconds, source,
            correlationID?.rawValue, causationID?.rawValue, try StoredHeaders.text(for: storedHeaders), Data(payload),
        ]
    }
}

extension Row {
    // GRDB's own subscripts trap on a value of another type; what others wrote into the table must not.

    /// The value of a column that has one.
    func value<Value: DatabaseValueConvertible>(_ column: EventColumn) throws(EventBusError) -> Value {
        try Self.required(self[column.rawValue], "\(column)")
    }

    /// The value of a column, or `nil` for NULL.
    func optional<Value: DatabaseValueConvertible>(_ column: EventColumn) throws(EventBusError) -> Value? {
        try Self.convert(self[column.rawValue], "\(column)")
    }

    /// The value of a column that has one.
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
        guard let value = Value.fromDatabaseValue(stored) else {
            throw EventBusError(
                .decodingFailed,
                "the column \(column()) of a stored row holds no \(Value.self): \("\(stored)".quotedForError)"
            )
        }
        return value
    }
}
