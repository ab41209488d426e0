import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

@Suite("Injected faults of publishing", .timeLimit(.minutes(1)))
struct PublishFaultTests {
    @Test(
        "Each fault throws its code, keeps the event or not, and strikes an event once",
        arguments: [
            (FaultPlan.Kind.refusedPublish, EventBusError.Code.rejected, 0),
            (.timedOutPublish, .timedOut, 0),
            (.lostPublish, .indeterminate, 0),
            (.unconfirmedPublish, .indeterminate, 1),
        ]
    )
    func kinds(kind: FaultPlan.Kind, code: EventBusError.Code, kept: Int) async throws {
        let broker = InMemoryBroker(clock: ManualClock(), faults: .only(kind, rate: 1, seed: 1))
        let transport = InMemoryTransport(broker: broker)
        try await Worker().run(on: transport, .sample()) {}
        let error = await #expect(throws: EventBusError.self) { try await transport.publish(.sample("a")) }
        #expect(error?.code == code)
        #expect(broker.queues.map(\.ready) == [kept])
        #expect(try await transport.publish(.sample("a")) == .routed)
        #expect(broker.queues.map(\.ready) == [kept + 1])
        let delayed = await #expect(throws: EventBusError.self) {
            try await transport.publish(.sample("b"), delay: .seconds(1))
        }
        #expect(delayed?.code == code)
        #expect(try await transport.publish(.sample("b"), delay: .seconds(1)) == .scheduled)
        #expect(transport.health().first?.details["delayed"] == kept + 1)
        let results = await transport.publish(
            contentsOf: [.sample("c"), .sample("d")],
            options: .init(deadline: broker.clock.now.advanced(by: .seconds(1)))
        )
        for result in results {
            let error = #expect(throws: EventBusError.self) { try result.get() }
            #expect(error?.code == code)
        }
        let log = try #require(broker.faultLog)
        #expect(log.count(of: kind) == 4)
        #expect(log.faults.allSatisfy { $0.kind == kind && $0.queue.isEmpty })
    }

    @Test("Code that publishes again with the same id loses nothing, with any faults")
    func retrying() async throws {
        let plan = FaultPlan(
            seed: 7,
            refusedPublish: 0.3,
            timedOutPublish: 0.3,
            lostPublish: 0.3,
            unconfirmedPublish: 0.3
        )
        let broker = InMemoryBroker(clock: ManualClock(), faults: plan)
        let transport = InMemoryTransport(broker: broker)
        let worker = Worker()
        try await worker.run(on: transport, .sample()) {
            for number in 0..<100 {
                for _ in 0..<5 where (try? await transport.publish(.sample("\(number)."))) != nil { break }
            }
            try await broker.settled()
        }
        let numbers = Set(worker.handled.withLock { $0 }.compactMap { $0.split(separator: ".").first.map(String.init) })
        #expect(numbers.count == 100)
        let log = try #require(broker.faultLog)
        for kind in [FaultPlan.Kind.refusedPublish, .timedOutPublish, .lostPublish, .unconfirmedPublish] {
            #expect(log.count(of: kind) > 0)
        }
    }

    @Test("The other faults of a seed stay the same when faults of publishing are enabled")
    func sameFate() async throws {
        func faults(_ plan: FaultPlan) async throws -> [FaultLog.Fault] {
            let broker = InMemoryBroker(clock: ManualClock(), faults: plan)
            let transport = InMemoryTransport(broker: broker)
            try await Worker().run(on: transport, .sample()) {}
            for number in 0..<100 {
                while (try? await transport.publish(.sample("\(number)"))) == nil {}
            }
            return broker.faultLog?.faults.filter { $0.kind == .duplicateDelivery } ?? []
        }
        var plan = FaultPlan.only(.duplicateDelivery, rate: 0.2, seed: 3)
        let before = try await faults(plan)
        plan.refusedPublish = 0.5
        #expect(try await faults(plan) == before)
        #expect(!before.isEmpty)
    }
}
