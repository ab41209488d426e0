import EventBus
import EventBusInMemory
import GRDB
import Testing

@testable import EventBusOutbox

@Suite("The relay's decisions", .timeLimit(.minutes(1)))
struct RelayStateMachineTests {
    private static let start = EventTime(milliseconds: 1_000_000)

    /// Returns a machine that has read `runs` and holds the lease.
    private static func machine(
        _ runs: [[StoredEvent]] = [],
        settings: OutboxRelay.Configuration = .init(),
        isCut: Bool = false
    ) -> RelayStateMachine {
        var machine = RelayStateMachine(settings: settings, now: at(.zero))
        _ = machine.beginExchange()
        let taking = FetchedEvents(runs: runs, count: runs.joined().count, isCut: isCut)
        machine.load(taking, leaseEnd: start + settings.leaseDuration, now: at(.zero))
        return machine
    }

    private static func at(_ offset: Duration) -> AnyClock.Instant { AnyClock.Instant(offset: offset) }

    private static func event(_ sequence: Int64, key: String? = nil) -> StoredEvent {
        StoredEvent(
            sequence: sequence,
            envelope: Envelope(id: EventID("\(sequence)"), topic: "t", payload: [], partitionKey: key)
        )
    }

    private func batch(_ machine: inout RelayStateMachine, after offset: Duration = .zero) -> RelayStateMachine.Batch? {
        if case .publish(let batch) = machine.next(now: Self.at(offset), wallTime: Self.start + offset) {
            batch
        } else {
            nil
        }
    }

    private func isExchange(_ machine: inout RelayStateMachine, after offset: Duration = .zero) -> Bool {
        if case .exchange = machine.next(now: Self.at(offset), wallTime: Self.start + offset) { true } else { false }
    }

    @discardableResult
    private func finish(
        _ machine: inout RelayStateMachine,
        _ batch: RelayStateMachine.Batch,
        after offset: Duration = .zero,
        _ outcome: (StoredEvent) -> RelayStateMachine.Outcome = { _ in .published }
    ) -> [(StoredEvent, Failure)] {
        machine.finish(
            batch,
            outcomes: batch.events.map(outcome),
            now: Self.at(offset),
            wallTime: Self.start + offset
        )
    }

    @Test("A batch has one event of each key, and the next is sent after the previous one is confirmed")
    func onePerKey() throws {
        var machine = Self.machine([
            [Self.event(1, key: "a"), Self.event(2, key: "a")], [Self.event(3)], [Self.event(4)],
        ])
        let first = try #require(batch(&machine))
        #expect(first.events.map(\.sequence) == [1, 3, 4])
        #expect(batch(&machine) == nil)
        finish(&machine, first)
        #expect(batch(&machine)?.events.map(\.sequence) == [2])
    }

    @Test("A backlog of large events is read in parts of limited size")
    func largeEvents() throws {
        let database = try makeDatabase()
        let outbox = Outbox(bus: EventBus(transport: .inMemory()))
        let megabyte = 1 << 20
        try database.write { db in
            for number in 1...100 {
                let key = number.isMultiple(of: 2) ? "k" : nil
                let payload = [UInt8](repeating: 0x30, count: megabyte)
                try outbox.publish(Envelope(topic: "t", payload: payload, partitionKey: key), in: db)
            }
        }
        var machine = Self.machine()
        var published = 0
        for _ in 1...200 where published < 100 {
            let (settlement, busy, room) = machine.beginExchange()
            let taking = try database.write { db in
                try OutboxStatements.settle(settlement, now: Self.start, in: db)
                let terms = ReadingTerms(now: Self.start, maximumBytes: room.bytes)
                return try OutboxStatements.take(limit: room.events, depth: 100, excluding: busy, terms: terms, in: db)
            }
            machine.load(taking, leaseEnd: Self.start + .seconds(10), now: Self.at(.zero))
            #expect(machine.lanes.waitingBytes <= RelayStateMachine.maximumWaitingBytes + 2 * megabyte)
            while let next = batch(&machine) {
                published += next.events.count
                finish(&machine, next)
            }
        }
        #expect(published == 100)
        #expect(machine.lanes.waitingBytes == 0)
    }

    @Test("Confirmed outcomes are written once nothing is in flight, and their lanes can be read again")
    func writesDown() throws {
        var machine = Self.machine([[Self.event(1, key: "a")], [Self.event(2, key: "b")]])
        let first = try #require(batch(&machine))
        #expect(!isExchange(&machine))
        finish(&machine, first)
        #expect(isExchange(&machine))
        let (settlement, busy, _) = machine.beginExchange()
        #expect(settlement.published.map(\.sequence) == [1, 2])
        #expect(settlement.advancedKeys.map(\.text).sorted() == ["a", "b"])
        #expect(busy.isEmpty)
        #expect(machine.isIdle)
    }

    @Test("Outcomes that could not be written are kept, and their lanes are not read meanwhile")
    func keepsWhatIsUnwritten() throws {
        var machine = Self.machine([[Self.event(1, key: "a")]])
        finish(&machine, try #require(batch(&machine)))
        let lost = machine.beginExchange().settlement
        machine.exchangeFailed(Broken(), settlement: lost, now: Self.at(.zero))
        #expect(machine.databaseFailure != nil)
        #expect(!isExchange(&machine))
        #expect(isExchange(&machine, after: .seconds(1)))
        #expect(machine.beginExchange().settlement.published.map(\.sequence) == [1])
    }

    @Test("Without enough time left in the lease nothing is published, and the lease is renewed")
    func keepsWithinLease() throws {
        var machine = Self.machine([[Self.event(1)]])
        #expect(batch(&machine, after: .milliseconds(5_001)) == nil)
        #expect(isExchange(&machine, after: .milliseconds(5_001)))
        let (_, busy, _) = machine.beginExchange()
        #expect(busy == [.single(1)])
        machine.load(FetchedEvents(), leaseEnd: Self.start + .seconds(15), now: Self.at(.milliseconds(5_001)))
        #expect(batch(&machine, after: .milliseconds(5_001))?.events.count == 1)
    }

    @Test("A relay that lost its lease forgets the events it has read, but writes confirmed outcomes")
    func standsBy() throws {
        var machine = Self.machine([[Self.event(1, key: "a"), Self.event(2, key: "a")], [Self.event(3)]])
        let first = try #require(batch(&machine))
        _ = machine.beginExchange()
        machine.standBy(now: Self.at(.zero))
        finish(&machine, first) { $0.sequence == 1 ? .published : .held(Broken()) }
        #expect(batch(&machine, after: .seconds(60)) == nil)
        let (settlement, busy, _) = machine.beginExchange()
        #expect(settlement.published.map(\.sequence) == [1])
        #expect(busy.isEmpty)
    }

    @Test("A failed event is read again, behind those that returned to the outbox while it was in flight")
    func readsAgain() throws {
        var machine = Self.machine([[Self.event(2, key: "a"), Self.event(3, key: "a")]])
        let first = try #require(batch(&machine))
        _ = machine.beginExchange()
        machine.load(FetchedEvents(), leaseEnd: Self.start + .seconds(10), isStale: true, now: Self.at(.zero))
        _ = machine.beginExchange()
        machine.load(FetchedEvents(), leaseEnd: Self.start + .seconds(10), now: Self.at(.zero))
        finish(&machine, first) { _ in .held(EventBusError(.unavailable, "down")) }
        #expect(batch(&machine, after: .seconds(1)) == nil)
        #expect(isExchange(&machine, after: .seconds(1)))
        #expect(machine.beginExchange().busy.isEmpty)
        let run = (1...3).map { Self.event($0, key: "a") }
        let taking = FetchedEvents(runs: [run], count: 3)
        machine.load(taking, leaseEnd: Self.start + .seconds(11), now: Self.at(.seconds(1)))
        #expect(batch(&machine, after: .seconds(1))?.events.map(\.sequence) == [1])
    }

    @Test("In an outage a few events probe whether it is over, and then the batches double")
    func probes() throws {
        var machine = Self.machine((1...200).map { [Self.event($0)] })
        finish(&machine, try #require(batch(&machine))) { _ in .held(EventBusError(.timedOut, "down")) }
        #expect(machine.outage != nil)
        #expect(batch(&machine) == nil)
        var sizes: [Int] = []
        while let next = batch(&machine, after: .seconds(1)) {
            sizes.append(next.events.count)
            finish(&machine, next, after: .seconds(1))
            if sizes.count == 1 { #expect(machine.outage == nil) }
        }
        #expect(sizes.first == 16)
        #expect(sizes.reduce(0, +) == 200)
    }

    @Test("In an outage an event that has not been tried precedes those that have")
    func freshFirst() throws {
        var machine = Self.machine((1...20).map { [Self.event($0)] })
        finish(&machine, try #require(batch(&machine))) { _ in .held(EventBusError(.timedOut, "down")) }
        _ = machine.beginExchange()
        let taking = FetchedEvents(runs: [[Self.event(21)]], count: 1)
        machine.load(taking, leaseEnd: Self.start + .seconds(10), now: Self.at(.zero))
        let next = try #require(batch(&machine, after: .seconds(1)))
        #expect(next.events.first?.sequence == 21)
    }

    @Test("A batch that waits long for an answer does not delay the next one")
    func slowBatch() throws {
        var machine = Self.machine([[Self.event(1)]])
        _ = try #require(batch(&machine))
        _ = machine.beginExchange()
        machine.load(
            FetchedEvents(runs: [[Self.event(2)]], count: 1),
            leaseEnd: Self.start + .seconds(10),
            now: Self.at(.zero)
        )
        #expect(batch(&machine, after: .milliseconds(199)) == nil)
        #expect(batch(&machine, after: .milliseconds(200))?.events.map(\.sequence) == [2])
    }

    @Test("An event that breaks the connection whenever it is sent delays the others only temporarily")
    func findsTheCulprit() throws {
        var settings = OutboxRelay.Configuration()
        settings.retry = .fixed(.milliseconds(10), maximumAttempts: 1)
        settings.leaseDuration = .seconds(1000)
        var machine = Self.machine((1...100).map { [Self.event($0)] }, settings: settings)
        var (published, rounds, offset) = (Set<Int64>(), 0, Duration.zero)
        var stored: [Int64: StoredEvent] = [:]
        while published.count < 99, rounds < 1000 {
            rounds += 1
            offset += .milliseconds(10)
            if let next = batch(&machine, after: offset) {
                // All events of a batch with the culprit are suspects.
                let isBroken = next.events.contains { $0.sequence == 37 }
                for event in next.events { stored[event.sequence] = event }
                let givenUp = finish(&machine, next, after: offset) { _ in
                    isBroken ? .held(EventBusError(.indeterminate, "connection lost")) : .published
                }
                #expect(givenUp.isEmpty)
            }
            // Postponed events are read again.
            let settlement = machine.beginExchange().settlement
            published.formUnion(settlement.published.map(\.sequence))
            let runs = settlement.delayed.compactMap { delay in
                stored[delay.place.sequence].map { event in
                    var event = event
                    event.holds = delay.holds
                    return [event]
                }
            }
            machine.load(
                FetchedEvents(runs: runs, count: runs.count),
                leaseEnd: Self.start + .seconds(1000),
                now: Self.at(offset)
            )
        }
        #expect(published == Set(1...100).subtracting([37]))
    }

    @Test(
        "An error that trying again cannot mend parks the event at once",
        arguments: [
            EventBusError(.tooLarge, ""), EventBusError(.invalidEnvelope, ""),
        ]
    )
    func hopeless(error: EventBusError) throws {
        var machine = Self.machine([[Self.event(1)]])
        let givenUp = finish(&machine, try #require(batch(&machine))) { _ in RelayStateMachine.Outcome(error) }
        #expect(givenUp.first?.1.reason == .nonRetryable)
    }

    @Test("While batches are in flight, more is read only if more is known to exist")
    func readsAhead() throws {
        for isCut in [true, false] {
            var machine = Self.machine([[Self.event(1)]], isCut: isCut)
            _ = try #require(batch(&machine))
            machine.look()
            #expect(isExchange(&machine) == isCut)
        }
    }
}
