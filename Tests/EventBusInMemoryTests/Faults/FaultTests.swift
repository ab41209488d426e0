import EventBus
import EventBusTesting
import Testing

@testable import EventBusInMemory

@Suite("Injected faults", .timeLimit(.minutes(1)))
struct FaultTests {
    /// Publishes `count` events to one consumer, waits until everything is settled, and returns the handled events.
    private func run(
        _ plan: FaultPlan,
        count: Int = 300,
        specification: QueueSpecification = .sample(prefetch: 1)
    ) async throws -> (log: FaultLog, handled: [String]) {
        let broker = InMemoryBroker(clock: ManualClock(), faults: plan)
        let worker = Worker()
        // Declares the queue and leaves, so that published events wait in it and there is something to overtake.
        try await worker.run(on: InMemoryTransport(broker: broker), specification) {}
        let transport = InMemoryTransport(broker: broker)
        for index in 0..<count { try await transport.publish(.sample("\(index).", key: "k\(index % 3)")) }
        try await worker.run(on: transport, specification) {
            try await broker.settled()
            #expect(try await transport.deadLetters(of: "stock").count() == 0)
        }
        return (try #require(broker.faultLog), worker.handled.withLock { $0 })
    }

    @Test("The default plan makes every kind of fault happen, loses nothing and ends", arguments: [1, 2, 3])
    func everyKind(seed: UInt64) async throws {
        let (log, handled) = try await run(FaultPlan(seed: seed))
        for kind in FaultPlan.Kind.allCases where log.plan.rate(of: kind) > 0 {
            #expect(log.count(of: kind) > 0, "\(kind) in \(log.plan)")
        }
        let events = Set(handled.compactMap { $0.split(separator: ".").first }.compactMap { Int($0) })
        #expect(events == Set(0..<300), "\(log.plan)")
        #expect(log.description.contains("seed: \(seed)"))
    }

    @Test("Even if every fault strikes as often as it may, a run ends and injected faults exhaust no attempts")
    func worstCase() async throws {
        let plan = FaultPlan(
            seed: 1,
            connectionLoss: 1,
            lostConfirm: 1,
            duplicateDelivery: 1,
            reordering: 1,
            slowDelivery: 1,
            handlerCrash: 1
        )
        let (log, handled) = try await run(plan, count: 50, specification: .sample(prefetch: 50))
        let events = Set(handled.compactMap { $0.split(separator: ".").first }.compactMap { Int($0) })
        #expect(events == Set(0..<50))
        #expect(log.count(of: .connectionLoss) == 100)
        #expect(log.count(of: .handlerCrash) == 100)
        #expect(log.count(of: .lostConfirm) == 50)
        let attempts = handled.compactMap { $0.split(separator: ".").last }.compactMap { Int($0) }
        #expect(attempts.allSatisfy { $0 <= 3 })
    }

    @Test("The same seed gives the same faults, another seed others")
    func reproducible() throws {
        func log(seed: UInt64) throws -> FaultLog? {
            let machine = BrokerMachine(faults: FaultPlan(seed: seed))
            let consumer = try machine.attach(.sample(prefetch: 1))
            for index in 0..<200 { machine.publish("\(index)") }
            var next = 0
            var now = Duration.zero
            while machine.state.readyCount + machine.state.unsettledCount + machine.state.timers.count > 0 {
                if machine.deliveries(consumer).count == next {
                    now += .milliseconds(1)
                    machine.fireTimers(by: now)
                    continue
                }
                let delivery = machine.deliveries(consumer)[next]
                next += 1
                let disposition: Disposition =
                    delivery.injectedFault == nil ? .acknowledged : .retried(after: .zero, .sample)
                machine.settle(delivery, of: consumer, as: disposition)
            }
            return machine.state.faults?.log
        }
        let first = try #require(try log(seed: 7))
        #expect(first.faults.count > 20)
        #expect(try log(seed: 7) == first)
        #expect(try log(seed: 8)?.faults != first.faults)
    }

    @Test("The faults of an event do not depend on other events")
    func independentOfOthers() {
        func fate(_ texts: [String]) -> [String: [Bool]] {
            var injector = FaultInjector(plan: .only(.handlerCrash, rate: 0.5, seed: 3))
            var fate: [String: [Bool]] = [:]
            for text in texts {
                fate[text, default: []].append(injector.strikes(.handlerCrash, .sample(text), in: "q") != nil)
            }
            return fate
        }
        let texts = (0..<40).map { "\($0 % 10)" }
        #expect(fate(texts) == fate(texts.sorted()))
        #expect(fate(texts) == fate(texts.reversed()))
        #expect(Set(fate(texts).values.joined()) == [true, false])
    }

    @Test("If the queue keeps order, faults never change the order of a key")
    func orderOfKeys() async throws {
        let plan = FaultPlan(
            seed: 5,
            lostConfirm: 0,
            duplicateDelivery: 0,
            reordering: 1,
            slowDelivery: 1,
            handlerCrash: 0
        )
        let specification = QueueSpecification.sample(prefetch: 3, singleActiveConsumer: true)
        let (_, handled) = try await run(plan, specification: specification)
        let events = handled.compactMap { $0.split(separator: ".").first }.compactMap { Int($0) }
        for key in 0..<3 {
            var seen: [Int] = []
            // A delivery that was settled on a lost connection was handled and is redelivered, which is no reordering.
            for event in events where event % 3 == key && !seen.contains(event) { seen.append(event) }
            #expect(seen == seen.sorted())
        }
    }

    @Test("After a lost confirm the queues contain the event twice, and publish returns normally")
    func lostConfirm() throws {
        let machine = BrokerMachine(faults: .only(.lostConfirm, rate: 1, seed: 1))
        let first = try machine.attach(.sample("a"))
        let second = try machine.attach(.sample("b"))
        #expect(machine.publish("1").outcome == .routed)
        #expect(machine.texts(first) == ["1", "1"])
        #expect(machine.texts(second) == ["1", "1"])
        #expect(machine.deliveries(first)[0].envelope == machine.deliveries(first)[1].envelope)
    }

    @Test("A lost connection returns the unsettled deliveries of its transport, and the event still arrives")
    func connectionLoss() throws {
        let machine = BrokerMachine(faults: .only(.connectionLoss, rate: 1, seed: 1))
        let consumer = try machine.attach(.sample())
        machine.publish("1")
        #expect(machine.texts(consumer) == ["1"])
        #expect(machine.deliveries(consumer)[0].redeliveries == 0)
        let held = machine.deliveries(consumer)[0]
        machine.publish("2")
        #expect(machine.texts(consumer).suffix(2) == ["1", "2"])
        #expect(!machine.settle(held, of: consumer))
        #expect(machine.deliveries(consumer).suffix(2).map(\.redeliveries) == [2, 0])
    }

    @Test("A slow delivery arrives after its delay")
    func slowDelivery() throws {
        let machine = BrokerMachine(faults: .only(.slowDelivery, rate: 1, seed: 1))
        let consumer = try machine.attach(.sample())
        machine.publish("1")
        #expect(machine.texts(consumer).isEmpty)
        machine.fireTimers(by: .milliseconds(50))
        #expect(machine.texts(consumer) == ["1"])
    }

    @Test("A reordered event overtakes a few others")
    func reordering() throws {
        let machine = BrokerMachine(faults: .only(.reordering, rate: 1, seed: 1))
        let consumer = try machine.attach(.sample(prefetch: 1))
        for text in ["1", "2", "3"] { machine.publish(text) }
        for index in 0..<3 { machine.settle(machine.deliveries(consumer)[index], of: consumer) }
        #expect(machine.texts(consumer) == ["1", "3", "2"])
        #expect(machine.state.faults?.log.count(of: .reordering) == 1)
    }
}
