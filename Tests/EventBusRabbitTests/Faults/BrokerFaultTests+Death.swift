import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

extension FaultTests.BrokerFaultTests {
    @Test func `killing the broker under load loses nothing that it confirmed`() async throws {
        let broker = try await FaultTests.broker()
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.heartbeat = .seconds(2)
            // The first two seconds of a queue are not guaranteed.
            $0.newQueueGracePeriod = .seconds(2)
        }
        let topic = try Topic(validating: "\(name).probe")
        let publisher = try EventBus(transport: .rabbit(configuration))
        let consumer = try EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        let retried = SeenNumbers()
        consumer.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            options: .init(concurrency: 64, retry: .fixed(.milliseconds(100), maximumAttempts: 5))
        ) { event, context in
            let number = Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? 0
            if number % 10 == 0, context.attempt == 1 {
                retried.note(event.envelope)
                throw CancellationError()
            }
            seen.note(event.envelope)
        }
        let load = Load()
        let port = try port(broker)
        try await consumer.withRunning {
            try await publisher.withRunning {
                let running = Task { await load.run(publisher, topic: topic, tasks: 50, deadline: .seconds(60)) }
                try await wait(for: 1000, load)
                let scheduled = try await schedule(publisher, topic, after: .seconds(4))
                try broker.kill()
                let killed = ContinuousClock.now
                let underWay = load.unanswered
                let delayed = scheduled.union(retried.all).subtracting(seen.all)
                try await eventually("the port is closed") { !portIsOpen(port) }
                let restart = Task { try await broker.restart() }
                try await eventually("the port is open", within: .seconds(60)) { portIsOpen(port) }
                let opened = ContinuousClock.now
                try await eventually("publishing again", within: .seconds(30)) { load.lastConfirmed > opened }
                let published = opened.duration(to: load.lastConfirmed)
                try await eventually("consuming again", within: .seconds(30)) { seen.last > opened }
                let consumed = opened.duration(to: seen.last)
                try await eventually("what was delayed at the kill", within: .seconds(30)) {
                    delayed.isSubset(of: seen.all)
                }
                let released = opened.duration(to: .now)
                try await restart.value
                try await wait(for: 1000, load)
                let lost = try await lost(of: load, running, seen)
                let again = underWay.intersection(load.confirmed)
                // An event that is sent again is the same event.
                let changed = load.confirmed.filter { seen.ids(of: $0) != [load.id(of: $0)] }
                print(
                    """
                    kill -9: confirmed \(load.confirmed.count), lost \(lost), handled \(seen.count) times, retried \
                    \(retried.count), errors \(load.errors), down for \(killed.duration(to: opened)), publishing \
                    \(published), consuming \(consumed) and all \(delayed.count) delayed events \(released) after the \
                    port opened, under way at the kill \(underWay.count) and confirmed later \(again.count), under \
                    another id \(changed.count), latest call \(load.overdue) after its deadline
                    """
                )
                #expect(lost == 0)
                #expect(!delayed.isEmpty)
                #expect(!again.isEmpty)
                #expect(changed == [])
            }
        }
    }

    /// Publishes delayed events. Returns their numbers.
    private func schedule(_ bus: EventBus, _ topic: Topic, after delay: Duration) async throws -> Set<Int> {
        let numbers = (1...100).map { 10_000_000 + $0 }
        let receipts = try await withThrowingTaskGroup(of: PublishOutcome.self) { group in
            for number in numbers {
                group.addTask {
                    let envelope = Envelope(topic: topic, payload: Array("\(number)".utf8))
                    return try await bus.publish(envelope, options: .init(deadline: .seconds(10), delay: delay)).outcome
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(receipts.allSatisfy { $0 == .scheduled })
        return Set(numbers)
    }

    @Test func `a graceful restart loses nothing`() async throws {
        let broker = try await FaultTests.broker()
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.newQueueGracePeriod = .seconds(2)
        }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", options: .init(concurrency: 64)) { event, _ in
            seen.note(event.envelope)
        }
        let load = Load()
        let port = try port(broker)
        try await bus.withRunning {
            let running = Task { await load.run(bus, topic: topic, tasks: 20, deadline: .seconds(30)) }
            try await wait(for: 500, load)
            try await broker.control("stop_app")
            #expect(!portIsOpen(port))
            let start = Task { try await broker.control("start_app") }
            try await eventually("the port is open", within: .seconds(60)) { portIsOpen(port) }
            let opened = ContinuousClock.now
            try await eventually("publishing again", within: .seconds(30)) { load.lastConfirmed > opened }
            let published = opened.duration(to: load.lastConfirmed)
            try await eventually("consuming again", within: .seconds(30)) { seen.last > opened }
            let consumed = opened.duration(to: seen.last)
            _ = try await start.value
            try await wait(for: 500, load)
            let lost = try await lost(of: load, running, seen)
            print(
                """
                restart: confirmed \(load.confirmed.count), lost \(lost), errors \(load.errors), publishing \
                \(published) and consuming \(consumed) after the port opened, latest call \(load.overdue) after its \
                deadline
                """
            )
            #expect(lost == 0)
        }
    }
}
