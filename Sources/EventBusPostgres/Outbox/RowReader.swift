internal import EventBus
internal import EventBusOutbox

/// The topics with events that were set aside.
struct TopicStates {
    private var states: [String: TopicState] = [:]
    private var times: [EventTime] = []
    /// The topics without a subscription, or `nil` if there are none.
    private(set) var unrouted: UnroutedTopics?

    init(_ rows: PostgresResult) throws {
        var names: [String] = []
        for row in 0..<rows.count {
            let (topic, time) = (try rows.text(row, 0), try rows.integer(row, 2))
            let isUnrouted = try rows.integer(row, 1) > 0
            states[topic] = isUnrouted ? .isUnrouted : .isReturning(before: try rows.optionalInteger(row, 3) ?? .max)
            times.append(EventTime(milliseconds: time))
            if time > 0 { names.append(topic) }
        }
        guard !names.isEmpty else { return }
        unrouted = UnroutedTopics(names: names.prefix(UnroutedTopics.shown).sorted(), count: names.count)
    }

    subscript(topic: Topic) -> TopicState? { states.isEmpty ? nil : states[topic.rawValue] }

    /// Returns the earliest time after `now` at which a topic is tried again.
    func next(after now: EventTime) -> EventTime? { times.filter { $0 > now }.min() }
}

/// A reader that turns rows of the outbox into runs of events that may be published one after another.
struct RowReader {
    /// An event at the head of its key that has to be moved out of the way.
    private struct Aside {
        var sequence: Int64
        var key: String?
        var removal: Removal
    }

    let terms: ReadingTerms
    let topics: TopicStates
    var taking = FetchedEvents()
    private var asides: [Aside] = []

    init(terms: ReadingTerms, topics: TopicStates) {
        self.terms = terms
        self.topics = topics
    }

    /// The first events that others of the same key may follow.
    var followed: [(key: String, sequence: Int64)] {
        taking.runs.compactMap { run in
            guard let event = run.first, !event.isProbe, let key = event.envelope.partitionKey else { return nil }
            return (key, event.sequence)
        }
    }

    /// Reads an event that was set aside and serves to check whether its topic has a subscription now.
    mutating func readProbe(_ rows: PostgresResult, busy: Set<Lane>) throws {
        guard rows.count > 0 else { return }
        let sequence = try rows.integer(0, EventColumns.sequence)
        if busy.contains(.single(sequence)) { return }
        do {
            var event = try StoredEvent(rows, 0)
            event.isProbe = true
            taking.count += 1
            taking.runs.append([event])
        } catch {
            taking.unreadable.append(
                Settlement.ParkedRow(
                    place: EventPlace(sequence: sequence, eventID: nil),
                    failure: Failure(reason: .undecodable, error: error),
                    table: .unrouted
                )
            )
        }
    }

    /// Reads the first events of keys.
    ///
    /// - Returns: The number of rows that were looked at, and of first events.
    mutating func readHeads(_ rows: PostgresResult) throws -> (seen: Int, found: Int) {
        guard rows.count > 0 else { return (0, 0) }
        for row in 0..<rows.count where !rows.isNull(row, EventColumns.sequence) {
            taking.count += 1
            let sequence = try rows.integer(row, EventColumns.sequence)
            switch read(rows, row) {
            case .success(let event):
                taking.bytes += event.size
                taking.runs.append([event])
            case .failure(let aside):
                let key = try? rows.optionalText(row, EventColumns.partitionKey)
                asides.append(Aside(sequence: sequence, key: key, removal: aside.removal))
                taking.isCut = true
            }
        }
        return (
            Int(clamping: try rows.integer(0, EventColumns.next)),
            Int(clamping: try rows.integer(0, EventColumns.next + 1))
        )
    }

    /// Reads events that follow the first ones, up to one that has to be moved out of the way when it is the first.
    mutating func readFollowers(_ rows: PostgresResult) throws {
        var runs: [ExactString: Int] = [:]
        for (index, run) in taking.runs.enumerated() {
            if let event = run.first, !event.isProbe, let key = event.envelope.exactPartitionKey { runs[key] = index }
        }
        for row in 0..<rows.count {
            guard let key = try rows.optionalText(row, EventColumns.partitionKey) else { continue }
            guard let index = runs[ExactText(key)] else { continue }
            switch read(rows, row) {
            case .success(let event):
                taking.count += 1
                taking.bytes += event.size
                taking.runs[index].append(event)
            case .failure: runs[ExactText(key)] = nil
            }
        }
    }

    /// The reason why an event is not published now.
    private struct NotNow: Error {
        var removal: Removal
    }

    private func read(_ rows: PostgresResult, _ row: Int) -> Result<StoredEvent, NotNow> {
        do {
            let event = try StoredEvent(rows, row)
            if let removal = terms.removal(of: event, state: { topics[$0] }) {
                return .failure(NotNow(removal: removal))
            }
            return .success(event)
        } catch {
            return .failure(NotNow(removal: .unreadable(error)))
        }
    }

    /// Returns the statements that move events out of the way.
    mutating func removals(now: EventTime) -> [PostgresStatement] {
        var statements: [PostgresStatement] = []
        for aside in asides {
            let place = EventPlace(sequence: aside.sequence, eventID: nil)
            switch aside.removal {
            case .unreadable(let error):
                taking.unreadable.append(
                    Settlement.ParkedRow(
                        place: place,
                        failure: Failure(reason: .undecodable, error: error),
                        table: .outbox
                    )
                )
            case .unrouted:
                statements.append(OutboxSQL.move(place, from: .outbox, to: .unrouted))
            case .early(let time):
                statements.append(OutboxSQL.delay(place, until: time))
            }
        }
        statements += taking.unreadable.map { OutboxSQL.park($0, now: now) }
        if !taking.unreadable.isEmpty { taking.isCut = true }
        let keys = Set(asides.compactMap { $0.key.map { ExactText($0) } })
        if !keys.isEmpty { statements.append(OutboxSQL.advance(keys.map(\.text), now: now)) }
        return statements
    }
}
