import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

/// What happens when the broker dies, freezes, fills up or loses a queue. Each test prints its figures.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct BrokerFaultTests {
    /// One broker for the whole suite: every test leaves it running.
    private static let broker = Task { try await TestBroker.start() }

    /// Waits until so much of the load is confirmed, or throws.
    private func wait(for count: Int, _ load: Load, within limit: Duration = .seconds(20)) async throws {
        let start = load.confirmed.count
        try await eventually("\(count) more confirmed", within: limit) { load.confirmed.count >= start + count }
    }

    private func port(_ broker: TestBroker) throws -> Int {
        try RabbitConfiguration(uri: broker.url).hosts[0].port
    }

    @Test func `killing the broker under load loses nothing that it confirmed`() async throws {
        let broker = try await Self.broker.value
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.heartbeat = .seconds(2)
        }
        let topic = try Topic(validating: "\(name).probe")
        let publisher = EventBus(transport: .rabbit(configuration))
        let consumer = EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        let retried = SeenNumbers()
        consumer.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            options: .init(concurrency: 64, retry: .fixed(.milliseconds(100), maxAttempts: 5))
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
                // A queue's first two seconds are not promised.
                try await Task.sleep(for: .seconds(2))
                let running = Task { await load.run(publisher, topic: topic, tasks: 50, deadline: .seconds(30)) }
                try await wait(for: 2000, load)
                try broker.kill()
                let killed = ContinuousClock.now
                try await eventually("the port is closed") { !portIsOpen(port) }
                let restart = Task { try await broker.restart() }
                try await eventually("the port is open", within: .seconds(60)) { portIsOpen(port) }
                let opened = ContinuousClock.now
                try await eventually("publishing again", within: .seconds(30)) { load.lastConfirmed > opened }
                let published = opened.duration(to: load.lastConfirmed)
                try await eventually("consuming again", within: .seconds(30)) { seen.last > opened }
                let consumed = opened.duration(to: seen.last)
                try await restart.value
                try await wait(for: 2000, load)
                load.stop()
                await running.value
                let confirmed = load.confirmed
                try await eventually(
                    "every confirmed event handled; \(confirmed.subtracting(seen.all).count) are missing",
                    within: .seconds(60)
                ) { confirmed.isSubset(of: seen.all) }
                print(
                    """
                    kill -9: confirmed \(confirmed.count), lost \(confirmed.subtracting(seen.all).count), handled \
                    \(seen.count) times, retried \(retried.count), errors \(load.errors), down for \
                    \(killed.duration(to: opened)), publishing \(published) and consuming \(consumed) after the port \
                    opened, latest call \(load.overdue) after its deadline
                    """
                )
                #expect(load.overdue < .seconds(1))
                #expect(published < .seconds(5))
                #expect(consumed < .seconds(5))
            }
        }
    }

    @Test func `a broker that freezes holds no call beyond its deadline, and is used again when it thaws`() async throws
    {
        let broker = try await Self.broker.value
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.heartbeat = .seconds(1)
            $0.connectTimeout = .seconds(1)
        }
        let topic = try Topic(validating: "\(name).probe")
        let publisher = EventBus(transport: .rabbit(configuration))
        let consumer = EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        consumer.subscribe(to: TopicPattern(topic), group: "group-\(name)", options: .init(concurrency: 64)) {
            event,
            _ in
            seen.note(event.envelope)
        }
        let load = Load()
        try await consumer.withRunning {
            try await publisher.withRunning {
                let running = Task { await load.run(publisher, topic: topic, tasks: 50, deadline: .seconds(2)) }
                try await wait(for: 1000, load)
                try broker.signal(SIGSTOP)
                let frozen = ContinuousClock.now
                // More than fits into all the buffers between us.
                let large = (0..<200).map { _ in
                    Task {
                        let start = ContinuousClock.now
                        _ = try? await publisher.publish(
                            Envelope(topic: topic, payload: [UInt8](repeating: 1, count: 100_000)),
                            options: .init(deadline: .seconds(2))
                        )
                        return start.duration(to: .now)
                    }
                }
                var slowest = Duration.zero
                for task in large { slowest = max(slowest, await task.value) }
                try await eventually("both sides noticed", within: .seconds(20)) {
                    publisher.health().components.filter {
                        $0.name.hasPrefix("transport.rabbitmq.") && $0.status != .ready
                    }.count >= 1
                        && consumer.health().components.contains {
                            $0.name.hasSuffix(".consume") && $0.status != .ready
                        }
                }
                let noticed = frozen.duration(to: .now)
                try broker.signal(SIGCONT)
                let thawed = ContinuousClock.now
                try await eventually("publishing again", within: .seconds(20)) { load.lastConfirmed > thawed }
                try await eventually("consuming again", within: .seconds(20)) { seen.last > thawed }
                print(
                    """
                    SIGSTOP: noticed after \(noticed), slowest large call \(slowest) with a deadline of 2 s, latest \
                    call \(load.overdue) after its deadline, publishing \(thawed.duration(to: load.lastConfirmed)) \
                    after the thaw
                    """
                )
                #expect(slowest < .seconds(3))
                #expect(load.overdue < .seconds(1))
                try await wait(for: 500, load)
                load.stop()
                await running.value
                let confirmed = load.confirmed
                try await eventually("every confirmed event handled", within: .seconds(30)) {
                    confirmed.isSubset(of: seen.all)
                }
                print("SIGSTOP: confirmed \(confirmed.count), lost 0, errors \(load.errors)")
            }
        }
    }

    @Test func `a memory alarm blocks publishing, not acknowledging, and its end lets go`() async throws {
        let broker = try await Self.broker.value
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let bus = EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        let mayEnd = Signal()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", options: .init(concurrency: 1)) { event, _ in
            try await mayEnd.wait()
            seen.note(event.envelope)
        }
        @Sendable func publish(_ number: Int, _ deadline: Duration) async throws {
            try await bus.publish(
                Envelope(topic: topic, payload: Array("\(number)".utf8)),
                options: .init(deadline: deadline)
            )
        }
        try await bus.withRunning {
            for number in 0..<20 { try await publish(number, .seconds(10)) }
            try await broker.control("set_vm_memory_high_watermark", "0.000001")
            // The broker says that it blocks us when we publish next.
            var code: EventBusError.Code?
            let start = ContinuousClock.now
            do { try await publish(100, .seconds(1)) } catch let error as EventBusError { code = error.code }
            do { try await publish(101, .seconds(1)) } catch let error as EventBusError { code = error.code }
            let took = start.duration(to: .now)
            #expect(code == .blocked)
            #expect(took < .seconds(4))
            #expect(bus.health().components.contains { $0.reason?.contains("blocked by the broker") ?? false })
            mayEnd.raise()
            try await eventually("20 handled one by one under the alarm", within: .seconds(20)) { seen.count >= 20 }
            let waiting = Task { try await publish(102, .seconds(20)) }
            try await broker.control("set_vm_memory_high_watermark", "0.4")
            try await waiting.value
            print(
                "memory alarm: \(code.map { "\($0)" } ?? "no error"), two calls with 1 s took \(took), handled \(seen.count)"
            )
        }
    }

    @Test func `a queue deleted under its consumer is declared and consumed again`() async throws {
        let broker = try await Self.broker.value
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let bus = EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { event, _ in
            seen.note(event.envelope)
        }
        try await bus.withRunning {
            try await broker.control("delete_queue", "group-\(name).probe")
            let deleted = ContinuousClock.now
            try await eventually("delivered again", within: .seconds(20)) {
                _ = try await bus.publish(Envelope(topic: topic, payload: Array("1".utf8)))
                return seen.count > 0
            }
            print("queue deleted: consuming again after \(deleted.duration(to: .now))")
            #expect(deleted.duration(to: .now) < .seconds(5))
        }
    }

    @Test func `retries to a deleted queue do not hold up those of others`() async throws {
        let broker = try await Self.broker.value
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let (doomedTopic, healthyTopic) = (
            try Topic(validating: "\(name).doomed"), try Topic(validating: "\(name).healthy")
        )
        let transport = RabbitTransport(configuration)
        let doomed = EventBus(transport: .rabbit(configuration))
        let healthy = EventBus(transport: transport)
        let failed = SeenNumbers()
        let seen = SeenNumbers()
        doomed.subscribe(
            to: TopicPattern(doomedTopic),
            group: "doomed-\(name)",
            name: "probe",
            options: .init(concurrency: 40, retry: .fixed(.seconds(3), maxAttempts: 5))
        ) { event, _ in
            failed.note(event.envelope)
            throw CancellationError()
        }
        healthy.subscribe(
            to: TopicPattern(healthyTopic),
            group: "healthy-\(name)",
            options: .init(concurrency: 20, retry: .fixed(.milliseconds(500), maxAttempts: 5))
        ) { event, context in
            if context.attempt < 3 { throw CancellationError() }
            seen.note(event.envelope)
        }
        try await healthy.withRunning {
            try await doomed.withRunning {
                for number in 0..<40 {
                    try await doomed.publish(Envelope(topic: doomedTopic, payload: Array("\(number)".utf8)))
                }
                try await eventually("40 failures") { failed.count >= 40 }
            }
            // All 40 wait in the delay levels when their queue goes.
            try await broker.control("delete_queue", "doomed-\(name).probe")
            try await Task.sleep(for: .seconds(3))
            let start = ContinuousClock.now
            for number in 0..<50 {
                try await healthy.publish(Envelope(topic: healthyTopic, payload: Array("\(number)".utf8)))
            }
            try await eventually("50 retried twice", within: .seconds(15)) { seen.all.count == 50 }
            print(
                "40 retries to a deleted queue: 50 healthy events retried twice by 500 ms in \(start.duration(to: .now))"
            )
            #expect(start.duration(to: .now) < .seconds(5))
            let lost = try await transport.unroutableDelays.entries(limit: 1000)
                .filter { $0.queue == "doomed-\(name).probe" && $0.group == "doomed-\(name)" }
            #expect(lost.count == 40)
        }
    }

    @Test func `a graceful restart loses nothing`() async throws {
        let broker = try await Self.broker.value
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let bus = EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", options: .init(concurrency: 64)) { event, _ in
            seen.note(event.envelope)
        }
        let load = Load()
        try await bus.withRunning {
            try await Task.sleep(for: .seconds(2))
            let running = Task { await load.run(bus, topic: topic, tasks: 20, deadline: .seconds(30)) }
            try await wait(for: 500, load)
            try await broker.control("stop_app")
            try await broker.control("start_app")
            let started = ContinuousClock.now
            try await wait(for: 500, load)
            load.stop()
            await running.value
            let confirmed = load.confirmed
            try await eventually("every confirmed event handled", within: .seconds(30)) {
                confirmed.isSubset(of: seen.all)
            }
            print(
                "restart: confirmed \(confirmed.count), lost 0, errors \(load.errors), 500 more confirmed "
                    + "\(started.duration(to: .now)) after the start"
            )
            #expect(load.overdue < .seconds(1))
        }
    }
}
