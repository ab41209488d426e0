import EventBus
import EventBusInMemory
import EventBusTesting
import FoundationEssentials
import Testing

/// `EVENTBUS_TEST_SEEDS=10000 swift test --filter KeyOrderSeedTests` runs with the given number of seeds.
@Suite("Order by key under injected faults", .timeLimit(.minutes(60)))
struct KeyOrderSeedTests {
    @Test("Events of 8 keys settle in order and without dead letters, with any seed")
    func seeds() async throws {
        let count = ProcessInfo.processInfo.environment["EVENTBUS_TEST_SEEDS"].flatMap { UInt64($0) } ?? 20
        try await withThrowingTaskGroup(of: Void.self) { group in
            for seed in 0..<count {
                if seed >= 4 { try await group.next() }
                group.addTask { try await Self.run(seed: seed) }
            }
            try await group.waitForAll()
        }
    }

    private static func run(seed: UInt64) async throws {
        let broker = InMemoryBroker(clock: ManualClock(), faults: FaultPlan(seed: seed))
        let bus = EventBus(transport: .inMemory(broker))
        let seen = Locked<[Int]>([])
        bus.subscribe(to: "#", group: "g", name: "all", options: .init(ordering: .byPartitionKey)) { event, _ in
            let number = Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? -1
            seen.withLock { $0.append(number) }
        }
        try await bus.withRunning {
            for number in 0..<300 {
                try await bus.publish(
                    Envelope(topic: "a", payload: Array("\(number)".utf8), partitionKey: "key\(number % 8)")
                )
            }
            do {
                // Real time, which only a run that hangs needs.
                try await broker.settled(within: .seconds(300))
            } catch {
                Issue.record("seed \(seed): \(error)")
                return
            }
            #expect(try await bus.deadLetters(of: "g").count() == 0, "seed \(seed)")
        }
        var order: [Int: [Int]] = [:]
        var known: Set<Int> = []
        // A second copy may arrive later. The first ones are in order.
        for number in seen.withLock({ $0 }) where known.insert(number).inserted {
            order[number % 8, default: []].append(number)
        }
        #expect(known == Set(0..<300), "seed \(seed)")
        for (key, numbers) in order { #expect(numbers == numbers.sorted(), "seed \(seed), key \(key)") }
    }
}
