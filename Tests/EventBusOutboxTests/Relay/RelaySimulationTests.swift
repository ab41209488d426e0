import EventBus
import Testing

@testable import EventBusOutbox

/// A simulation of a relay's machine, a database and a broker as values, in simulated time.
private struct Simulation {
    struct Row {
        var event: StoredEvent
        var dueAt: Duration
        var storedAt: Duration
    }

    static let start = EventTime(milliseconds: 1_000_000)

    var machine: RelayStateMachine
    var now = Duration.zero
    var rows: [Int64: Row] = [:]
    var underWay: [(batch: RelayStateMachine.Batch, end: Duration)] = []
    /// The wait of each event until it was first sent, and the number of times it was sent.
    var waits: [Int64: Duration] = [:]
    var sends: [Int64: Int] = [:]
    let settings: OutboxRelay.Configuration
    let isSilent: (StoredEvent) -> Bool

    init(settings: OutboxRelay.Configuration = .init(), isSilent: @escaping (StoredEvent) -> Bool) {
        self.settings = settings
        self.isSilent = isSilent
        machine = RelayStateMachine(settings: settings, now: AnyClock.Instant(offset: .zero))
    }

    private var instant: AnyClock.Instant { AnyClock.Instant(offset: now) }
    private var wallTime: EventTime { Self.start + now }

    mutating func store(_ sequence: Int64, topic: Topic) {
        let event = StoredEvent(sequence: sequence, envelope: Envelope(topic: topic, payload: []))
        rows[sequence] = Row(event: event, dueAt: now, storedAt: now)
        machine.look()
    }

    /// Lets the relay do all possible work at this moment.
    mutating func work() {
        while true {
            if let index = underWay.firstIndex(where: { $0.end <= now }) {
                let batch = underWay.remove(at: index).batch
                let outcomes = batch.events.map { event in
                    isSilent(event) ? RelayStateMachine.Outcome.held(EventBusError(.indeterminate, "")) : .published
                }
                _ = machine.finish(batch, outcomes: outcomes, now: instant, wallTime: wallTime)
                continue
            }
            switch machine.next(now: instant, wallTime: wallTime) {
            case .publish(let batch):
                for event in batch.events {
                    sends[event.sequence, default: 0] += 1
                    if waits[event.sequence] == nil, let row = rows[event.sequence] {
                        waits[event.sequence] = now - row.storedAt
                    }
                }
                let isSlow = batch.events.contains(where: isSilent)
                underWay.append((batch, isSlow ? now + settings.publishTimeout : now))
            case .exchange:
                exchange()
            case .wait:
                if !underWay.contains(where: { $0.end <= now }) { return }
            }
        }
    }

    private mutating func exchange() {
        let (settlement, busy, room) = machine.beginExchange()
        for place in settlement.published { rows[place.sequence] = nil }
        for delay in settlement.delayed {
            rows[delay.place.sequence]?.event.holds = delay.holds
            rows[delay.place.sequence]?.dueAt = delay.dueAt.since(Self.start)
        }
        if settlement.releasesHeld { for key in rows.keys { rows[key]?.dueAt = .zero } }
        let free = rows.values.filter { !busy.contains($0.event.lane) }
        let due = free.filter { $0.dueAt <= now }.map(\.event).sorted { $0.sequence < $1.sequence }
        let taking = FetchedEvents(
            runs: due.prefix(room.events).map { [$0] },
            count: min(room.events, due.count),
            isCut: due.count > room.events,
            nextDue: free.map(\.dueAt).filter { $0 > now }.min().map { Self.start + $0 }
        )
        machine.load(taking, leaseEnd: wallTime + settings.leaseDuration, now: instant)
    }
}

extension RelayInTroubleSuite {
    @Suite("A relay in simulated time", .timeLimit(.minutes(2)))
    struct RelaySimulationTests {
        @Test("Next to a destination that never confirms, a good event waits at most one publish timeout")
        func silentDestination() {
            var simulation = Simulation { $0.envelope.topic == "silent" }
            var sequence: Int64 = 0
            func next() -> Int64 {
                sequence += 1
                return sequence
            }
            var good: [Int64] = []
            for step in 0..<12_000 {
                simulation.now = .milliseconds(step * 100)
                if step == 600 { for _ in 1...50 { simulation.store(next(), topic: "silent") } }
                let number = next()
                simulation.store(number, topic: "good")
                good.append(number)
                simulation.work()
            }
            #expect(good.allSatisfy { simulation.waits[$0] != nil })
            #expect(good.allSatisfy { simulation.waits[$0] ?? .zero <= simulation.settings.publishTimeout })
            // The unanswered ones are retried at intervals that grow to minutes.
            let silent = simulation.sends.filter { simulation.rows[$0.key]?.event.envelope.topic == "silent" }
            #expect(silent.count == 50)
            #expect(silent.values.allSatisfy { $0 < 60 })
        }

        @Test("Even if unanswered events come first or keep coming, a good one waits at most one publish timeout")
        func silentEventsKeepComing() {
            var simulation = Simulation { $0.envelope.topic == "silent" }
            var good: [Int64] = []
            for number in 1...400 as ClosedRange<Int64> { simulation.store(number, topic: "silent") }
            simulation.work()
            for step in 1..<3_000 as Range<Int64> {
                simulation.now = .milliseconds(step * 100)
                simulation.store(1000 + step, topic: step % 4 == 0 ? "silent" : "good")
                if step % 4 != 0 { good.append(1000 + step) }
                simulation.work()
            }
            // Events of the last seconds may still wait.
            let old = good.filter { $0 < 1000 + 2_940 }
            #expect(old.allSatisfy { simulation.waits[$0] != nil })
            #expect(good.allSatisfy { simulation.waits[$0] ?? .zero <= simulation.settings.publishTimeout })
        }

        @Test("An unresponsive broker gets a few events at a time, however many wait")
        func totalSilence() {
            var simulation = Simulation { _ in true }
            for number in 1...3_000 as ClosedRange<Int64> { simulation.store(number, topic: "silent") }
            for second in 0..<600 {
                simulation.now = .seconds(second)
                simulation.work()
            }
            let total = simulation.sends.values.reduce(0, +)
            // Three batches before the outage is detected, then at most 16 events per pause.
            #expect(total < 1_500 + 600 / 5 * 16 * 2)
            #expect(simulation.machine.outage != nil)
        }
    }
}
