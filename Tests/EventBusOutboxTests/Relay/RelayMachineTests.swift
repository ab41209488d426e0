import EventBus
import Testing

@testable import EventBusOutbox

@Suite("The relay's decisions", .timeLimit(.minutes(1)))
struct RelayMachineTests {
    private static let start = EventTime(milliseconds: 1_000_000)

    /// A machine that has read `runs` and holds the lease.
    private static func machine(
        _ runs: [[StoredEvent]] = [],
        settings: OutboxRelay.Configuration = .init(),
        isCut: Bool = false
    ) -> RelayMachine {
        var machine = RelayMachine(settings: settings, now: at(.zero))
        _ = machine.beginExchange()
        let taking = Taking(runs: runs, count: runs.joined().count, isCut: isCut)
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

    private func batch(_ machine: inout RelayMachine, after offset: Duration = .zero) -> [StoredEvent]? {
        if case .publish(let batch) = machine.next(now: Self.at(offset), wallTime: Self.start + offset) {
            batch
        } else {
            nil
        }
    }

    private func isExchange(_ machine: inout RelayMachine, after offset: Duration = .zero) -> Bool {
        if case .exchange = machine.next(now: Self.at(offset), wallTime: Self.start + offset) { true } else { false }
    }

    @discardableResult
    private func finish(
        _ machine: inout RelayMachine,
        _ batch: [StoredEvent],
        after offset: Duration = .zero,
        _ outcome: (StoredEvent) -> RelayMachine.Outcome = { _ in .published }
    ) -> [(StoredEvent, Failure)] {
        machine.finish(
            batch,
            outcomes: batch.map(outcome),
            now: Self.at(offset),
            wallTime: Self.start + offset
        )
    }

    @Test("A batch holds one event of each key, and the next goes out once the one before is confirmed")
    func onePerKey() throws {
        var machine = Self.machine([
            [Self.event(1, key: "a"), Self.event(2, key: "a")], [Self.event(3)], [Self.event(4)],
        ])
        let first = try #require(batch(&machine))
        #expect(first.map(\.sequence) == [1, 3, 4])
        #expect(batch(&machine) == nil)
        finish(&machine, first)
        #expect(batch(&machine)?.map(\.sequence) == [2])
    }

    @Test("What was confirmed is written down once nothing is under way, and its lane can be read again")
    func writesDown() throws {
        var machine = Self.machine([[Self.event(1, key: "a")], [Self.event(2, key: "b")]])
        let first = try #require(batch(&machine))
        #expect(!isExchange(&machine))
        finish(&machine, first)
        #expect(isExchange(&machine))
        let (settlement, busy, _) = machine.beginExchange()
        #expect(settlement.published == [1, 2])
        #expect(settlement.advancedKeys == ["a", "b"])
        #expect(busy.isEmpty)
        #expect(machine.isIdle)
    }

    @Test("What could not be written down is kept, and its lane not read meanwhile")
    func keepsWhatIsUnwritten() throws {
        var machine = Self.machine([[Self.event(1, key: "a")]])
        finish(&machine, try #require(batch(&machine)))
        let lost = machine.beginExchange().settlement
        machine.exchangeFailed(Broken(), settlement: lost, now: Self.at(.zero))
        #expect(machine.databaseFailure != nil)
        #expect(!isExchange(&machine))
        #expect(isExchange(&machine, after: .seconds(1)))
        #expect(machine.beginExchange().settlement.published == [1])
    }

    @Test("Without enough of the lease left nothing is published, and the lease is renewed")
    func keepsWithinLease() throws {
        var machine = Self.machine([[Self.event(1)]])
        #expect(batch(&machine, after: .milliseconds(5_001)) == nil)
        #expect(isExchange(&machine, after: .milliseconds(5_001)))
        let (_, busy, _) = machine.beginExchange()
        #expect(busy == [.single(1)])
        machine.load(Taking(), leaseEnd: Self.start + .seconds(15), now: Self.at(.milliseconds(5_001)))
        #expect(batch(&machine, after: .milliseconds(5_001))?.count == 1)
    }

    @Test("A relay that lost its lease forgets what it has read, but writes down what the broker took")
    func standsBy() throws {
        var machine = Self.machine([[Self.event(1, key: "a"), Self.event(2, key: "a")], [Self.event(3)]])
        let first = try #require(batch(&machine))
        _ = machine.beginExchange()
        machine.standBy(now: Self.at(.zero))
        finish(&machine, first) { $0.sequence == 1 ? .published : .outage(Broken()) }
        #expect(batch(&machine, after: .seconds(60)) == nil)
        let (settlement, busy, _) = machine.beginExchange()
        #expect(settlement.published == [1])
        #expect(busy.isEmpty)
    }

    @Test("After an outage a single event finds out whether it is over, then twice as many go out each time")
    func probes() throws {
        var machine = Self.machine((1...20).map { [Self.event($0)] })
        finish(&machine, try #require(batch(&machine))) { _ in .outage(EventBusError(.timedOut, "down")) }
        #expect(machine.outage != nil)
        #expect(batch(&machine) == nil)
        var sizes: [Int] = []
        while let next = batch(&machine, after: .seconds(1)) {
            sizes.append(next.count)
            finish(&machine, next, after: .seconds(1))
        }
        #expect(sizes == [1, 2, 4, 8, 5])
        #expect(machine.outage == nil)
    }

    @Test("An event that breaks the connection whenever it is sent is found among others, and given up alone")
    func findsTheCulprit() throws {
        var settings = OutboxRelay.Configuration()
        settings.retry = .fixed(.milliseconds(10), maxAttempts: 1)
        var machine = Self.machine((1...100).map { [Self.event($0)] }, settings: settings)
        var givenUp: [Int64] = []
        var rounds = 0
        var offset = Duration.zero
        while rounds < 200, let next = batch(&machine, after: offset) {
            rounds += 1
            // All of a batch with the culprit is in doubt.
            let isBroken = next.contains { $0.sequence == 37 }
            givenUp += finish(&machine, next, after: offset) { _ in
                isBroken ? .outage(EventBusError(.indeterminate, "connection lost")) : .published
            }.map(\.0.sequence)
            offset += .milliseconds(10)
        }
        #expect(givenUp == [37])
        let settlement = machine.beginExchange().settlement
        #expect(settlement.published.sorted() == (1...100).filter { $0 != 37 })
        #expect(settlement.parked.map(\.sequence) == [37])
    }

    @Test(
        "An error that trying again cannot mend parks the event at once",
        arguments: [
            EventBusError(.tooLarge, ""), EventBusError(.invalidEnvelope, ""),
        ]
    )
    func hopeless(error: EventBusError) throws {
        var machine = Self.machine([[Self.event(1)]])
        let givenUp = finish(&machine, try #require(batch(&machine))) { _ in RelayMachine.Outcome(error) }
        #expect(givenUp.first?.1.reason == .nonRetryable)
    }

    @Test("More is read while batches are under way only if it is known that there is more")
    func readsAhead() throws {
        for isCut in [true, false] {
            var machine = Self.machine([[Self.event(1)]], isCut: isCut)
            _ = try #require(batch(&machine))
            machine.look()
            #expect(isExchange(&machine) == isCut)
        }
    }
}
