internal import EventBus
internal import EventBusOutbox

/// The columns of an event, which are read by their position.
enum EventColumns {
    /// The names of the columns that an event keeps from table to table.
    static let carried = """
        event_id, topic, partition_key, content_type, version, time, source, correlation_id, causation_id, headers, \
        payload, stored_at, deliver_at, requires_subscriber
        """
    /// The columns that are selected to read an event from the outbox.
    static let outbox = "\(carried), sequence, attempts, holds"
    /// The columns that are selected to read an event from another table.
    static let others = "\(carried), sequence, attempts, 0"

    static let partitionKey = 2
    static let storedAt = 11
    static let sequence = 14
    static let attempts = 15
    static let holds = 16
    /// The position of the first column after those of ``others``.
    static let next = 17
}

extension Envelope {
    /// Creates the envelope of a row whose columns begin with those of ``EventColumns/carried``.
    ///
    /// - Throws: An error if the row contains no valid envelope.
    init(_ rows: PostgresResult, _ row: Int) throws {
        let (headers, contentEncoding) = try StoredHeaders.read(try rows.optionalText(row, 9))
        guard let version = Int(exactly: try rows.integer(row, 4)) else {
            throw EventBusError(.decodingFailed, "the version of a stored event is out of range")
        }
        self.init(
            id: EventID(try rows.text(row, 0)),
            topic: try Topic(validating: try rows.text(row, 1)),
            payload: try rows.data(row, 10),
            contentType: try rows.text(row, 3),
            contentEncoding: contentEncoding,
            version: version,
            time: EventTime(milliseconds: try rows.integer(row, 5)),
            source: try rows.optionalText(row, 6),
            correlationID: try rows.optionalText(row, 7).map { CorrelationID($0) },
            causationID: try rows.optionalText(row, 8).map { EventID($0) },
            partitionKey: try rows.optionalText(row, EventColumns.partitionKey),
            headers: headers
        )
    }

    /// The values of the columns from `event_id` to `payload`.
    func columnValues() throws -> [PostgresValue] {
        [
            .text(id.rawValue), .text(topic.rawValue), PostgresValue(partitionKey), .text(contentType),
            .integer(Int64(version)), .integer(time.milliseconds), PostgresValue(source),
            PostgresValue(correlationID?.rawValue), PostgresValue(causationID?.rawValue),
            PostgresValue(try StoredHeaders.text(for: self)), .bytes(payload),
        ]
    }
}

extension StoredEvent {
    /// Creates the event of a row with the columns of ``EventColumns``.
    ///
    /// - Throws: An error if the row contains no valid envelope.
    init(_ rows: PostgresResult, _ row: Int) throws {
        self.init(
            sequence: try rows.integer(row, EventColumns.sequence),
            envelope: try Envelope(rows, row),
            storedAt: EventTime(milliseconds: try rows.integer(row, EventColumns.storedAt)),
            deliverAt: try rows.optionalInteger(row, 12).map(EventTime.init(milliseconds:)),
            requiresSubscriber: try rows.boolean(row, 13),
            attempts: Self.count(try rows.integer(row, EventColumns.attempts)),
            holds: Self.count(try rows.integer(row, EventColumns.holds))
        )
    }
}
