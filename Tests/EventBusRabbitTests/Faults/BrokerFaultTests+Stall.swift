import EventBus
import EventBusRabbit
import EventBusTesting
import Glibc
import Testing

extension FaultTests.BrokerFaultTests {
    @Test func `a broker that freezes holds no call beyond its deadline, and is used again when it thaws`() async throws
    {
        let broker = try await FaultTests.broker()
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.heartbeat = .seconds(1)
            $0.connectTimeout = .seconds(1)
        }
        let topic = try Topic(validating: "\(name).probe")
        let publisher = try EventBus(transport: .rabbit(configuration))
        let consumer = try EventBus(transport: .rabbit(configuration))
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
                // The tests after this one need the broker, whatever fails below.
                defer { try? broker.signal(SIGCONT) }
                let frozen = ContinuousClock.now
                let underWay = load.unanswered
                // More than all buffers between the client and the broker can hold.
                let slowest = await publishLarge(200, of: 100_000, publisher, topic, deadline: .seconds(2)).slowest
                try await eventually("both sides noticed", within: .seconds(20)) {
                    publisher.health().components.contains {
                        $0.name.hasSuffix(".publish") && $0.status != .ready
                    }
                        && consumer.health().components.contains {
                            $0.name.hasSuffix(".consume") && $0.status != .ready
                        }
                }
                let noticed = frozen.duration(to: .now)
                try await eventually("every call under way has ended while the broker was frozen") {
                    load.unanswered.isDisjoint(with: underWay)
                }
                try broker.signal(SIGCONT)
                let thawed = ContinuousClock.now
                try await eventually("publishing again", within: .seconds(20)) { load.lastConfirmed > thawed }
                let published = thawed.duration(to: load.lastConfirmed)
                try await eventually("consuming again", within: .seconds(20)) { seen.last > thawed }
                let consumed = thawed.duration(to: seen.last)
                try await wait(for: 500, load)
                let lost = try await lost(of: load, running, seen)
                print(
                    """
                    SIGSTOP: noticed after \(noticed), slowest large call \(slowest) with a deadline of 2 s, latest \
                    call \(load.overdue) after its deadline, publishing \(published) and consuming \(consumed) after \
                    the thaw, confirmed \(load.confirmed.count), lost \(lost), errors \(load.errors)
                    """
                )
                #expect(!underWay.isEmpty)
                #expect(lost == 0)
            }
        }
    }

    @Test func `a memory alarm that outlasts the heartbeats ends no connection, with a full socket neither`()
        async throws
    {
        let broker = try await FaultTests.broker()
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.heartbeat = .seconds(1)
            $0.commandTimeout = .seconds(2)
        }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let port = try port(broker)
        try await bus.withRunning {
            let event = Envelope(topic: topic, payload: [1])
            #expect(try await bus.publish(event).outcome == .unroutable)
            var sending: Task<(slowest: Duration, codes: [String: Int]), Never>?
            try await underAlarm(broker) {
                sending = Task { await publishLarge(6, of: 4 << 20, bus, topic, deadline: .seconds(60)) }
                // There is no condition to wait for, except that the heartbeats of both sides would have ended the
                // connection.
                let clock = ContinuousClock()
                var full = clock.now
                var wasFull = false
                try await eventually("a full socket for 5 s", within: .seconds(60)) {
                    let isFull = unsentBytes(to: port) > 0
                    if !isFull || !wasFull { full = clock.now }
                    wasFull = isFull
                    return isFull && full.duration(to: clock.now) > .seconds(5)
                }
            }
            let codes = await sending?.value.codes
            #expect(codes == ["sent": 6])
            #expect(bus.health().components.compactMap { $0.details["connections"] } == [1, 1])
        }
    }

    @Test func `a memory alarm blocks publishing, not acknowledging, and its end lets go`() async throws {
        let broker = try await FaultTests.broker()
        let name = freshName()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let topic = try Topic(validating: "\(name).probe")
        let bus = try EventBus(transport: .rabbit(configuration))
        let seen = SeenNumbers()
        let mayEnd = Signal()
        bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", options: .init(concurrency: 1)) { event, _ in
            try await mayEnd.wait()
            seen.note(event.envelope)
        }
        @Sendable func publish(_ number: Int, _ deadline: Duration) async throws -> PublishOutcome {
            try await bus.publish(
                Envelope(topic: topic, payload: Array("\(number)".utf8)),
                options: .init(deadline: deadline)
            ).outcome
        }
        let port = try port(broker)
        let deadline = Duration.seconds(2)
        try await bus.withRunning {
            for number in 0..<20 { _ = try await publish(number, .seconds(10)) }
            let start = ContinuousClock.now
            try await underAlarm(broker) {
                // The broker stops reading at the first event. The following ones fill the socket.
                async let sending = publishLarge(12, of: 4 << 20, bus, topic, deadline: deadline)
                let unsent = Locked(0)
                try await eventually("blocked, with a full socket") {
                    let waiting = unsentBytes(to: port)
                    unsent.withLock { $0 = max($0, waiting) }
                    let isBlocked = bus.health().components.contains {
                        $0.reason?.contains("blocked by the broker") ?? false
                    }
                    return isBlocked && waiting > 100_000
                }
                let (slowest, codes) = await sending
                var code: EventBusError.Code?
                do { _ = try await publish(100, .seconds(1)) } catch let error as EventBusError { code = error.code }
                mayEnd.raise()
                try await eventually("20 handled one by one under the alarm", within: .seconds(20)) { seen.count >= 20 }
                print(
                    """
                    memory alarm: 12 events of 4 MiB with a deadline of \(deadline) ended as \(codes), the slowest after \
                    \(slowest), \(unsent.withLock { $0 }) bytes in the full socket; a small one \(code.map { "\($0)" } ?? "passed"); \
                    handled under the alarm \(seen.count)
                    """
                )
                // All calls have ended under the alarm.
                #expect(codes.values.reduce(0, +) == 12)
                #expect(code == .blocked)
                #expect(codes["sent"] == nil)
            }
            let outcome = try await publish(102, .seconds(20))
            #expect(outcome == .routed)
            try await eventually("handled after the alarm") { seen.all.contains(102) }
            print("memory alarm: all over \(start.duration(to: .now)) after its beginning")
        }
    }

    /// Runs `body` under a memory alarm, which is cleared in any case.
    func underAlarm(_ broker: TestBroker, _ body: () async throws -> Void) async throws {
        try await broker.control("set_vm_memory_high_watermark", "0.000001")
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        try await broker.control("set_vm_memory_high_watermark", "0.4")
        try result.get()
    }

    /// Publishes large events concurrently. Returns the duration of the slowest call, and the number of calls for each
    /// outcome.
    private func publishLarge(
        _ count: Int,
        of size: Int,
        _ bus: EventBus,
        _ topic: Topic,
        deadline: Duration
    ) async -> (slowest: Duration, codes: [String: Int]) {
        let body = [UInt8](repeating: 1, count: size)
        return await withTaskGroup(of: (Duration, String).self) { group in
            for _ in 0..<count {
                group.addTask {
                    let start = ContinuousClock.now
                    do {
                        _ = try await bus.publish(
                            Envelope(topic: topic, payload: body),
                            options: .init(deadline: deadline)
                        )
                        return (start.duration(to: .now), "sent")
                    } catch {
                        let code = (error as? EventBusError).map { "\($0.code)" } ?? "\(error)"
                        return (start.duration(to: .now), code)
                    }
                }
            }
            return await group.reduce(into: (Duration.zero, [:])) { result, call in
                result.0 = max(result.0, call.0)
                result.1[call.1, default: 0] += 1
            }
        }
    }

    /// Returns the number of unsent bytes in the fullest socket of this machine that is connected to the port.
    private func unsentBytes(to port: Int) -> Int {
        let suffix = ":" + String(port, radix: 16, uppercase: true)
        return (contents(of: "/proc/net/tcp") ?? "").split(separator: "\n").reduce(0) { most, line in
            let fields = line.split(separator: " ")
            guard fields.count > 4, fields[2].hasSuffix(suffix) else { return most }
            return max(most, fields[4].split(separator: ":").first.flatMap { Int($0, radix: 16) } ?? 0)
        }
    }
}
