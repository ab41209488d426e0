import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

extension FaultTests {
    /// A channel that ends while its connection stays open, and a broker that ends while another one runs.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct ChannelFaultTests {
        /// Runs `body` with a broker that gives a consumer 1.5 s to settle a delivery.
        private func withShortConsumerTimeout(_ body: (TestBroker) async throws -> Void) async throws {
            let broker = try await FaultTests.broker()
            func set(timeout: Int, interval: Int) async throws {
                try await broker.control(
                    "eval",
                    """
                    application:set_env(rabbit, consumer_timeout, \(timeout)),
                    application:set_env(rabbit, channel_tick_interval, \(interval)).
                    """
                )
            }
            try await set(timeout: 1500, interval: 300)
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(broker))
            } catch {
                result = .failure(error)
            }
            // The defaults.
            try await set(timeout: 1_800_000, interval: 60_000)
            try result.get()
        }

        @Test func `a channel that the broker closes is opened again, and what came on it is settled no more`()
            async throws
        {
            try await withShortConsumerTimeout { try await outlastConsumerTimeout($0) }
        }

        private func outlastConsumerTimeout(_ broker: TestBroker) async throws {
            let name = freshName()
            let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
            let topic = try Topic(validating: "\(name).probe")
            let bus = try EventBus(transport: .rabbit(configuration))
            let (begun, ended) = (SeenNumbers(), SeenNumbers())
            let mayEnd = Signal()
            @Sendable func publish(_ number: Int) async throws {
                try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)))
            }
            bus.subscribe(
                to: TopicPattern(topic),
                group: "group-\(name)",
                name: "probe",
                options: .init(
                    concurrency: 4,
                    retry: .fixed(.milliseconds(100), maximumAttempts: 3),
                    handlerTimeout: nil
                )
            ) { event, _ in
                guard event.envelope.payload == Array("1".utf8) else { return ended.note(event.envelope) }
                begun.note(event.envelope)
                switch begun.count {
                case 1:
                    // Takes longer than the broker allows, and is settled when its channel is gone.
                    try await mayEnd.wait()
                case 2:
                    // It settles nothing of the new channel, whose tags start at 1 again: this run may fail and be
                    // repeated.
                    mayEnd.raise()
                    try await publish(2)
                    try await eventually("time has passed") { ended.all.contains(2) }
                    throw CancellationError()
                default:
                    ended.note(event.envelope)
                }
            }
            try await bus.withRunning {
                let start = ContinuousClock.now
                try await publish(1)
                try await eventually("delivered again on a new channel", within: .seconds(15)) { begun.count >= 2 }
                let again = start.duration(to: .now)
                for number in 3..<50 { try await publish(number) }
                try await eventually("the new channel lives on", within: .seconds(15)) { ended.all == Set(1..<50) }
                #expect(begun.count == 3)
                #expect(ended.count == 49)
                let connections = bus.health().components.compactMap { $0.details["connections"] }
                #expect(connections == [1, 1])
                print(
                    "channel closed by the broker: delivered again \(again) after the publish, connections \(connections)"
                )
            }
        }

        @Test func `an exchange that is deleted is declared again, and published to on the same connection`()
            async throws
        {
            let broker = try await FaultTests.broker()
            let name = freshName()
            let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
            let topic = try Topic(validating: "\(name).probe")
            let bus = try EventBus(transport: .rabbit(configuration))
            try await bus.withRunning {
                try await bus.publish(Envelope(topic: topic, payload: Array("1".utf8)))
                try await RabbitTransport.delete(queues: [], exchange: "events-\(name)", on: configuration)
                let deleted = ContinuousClock.now
                let outcome = try await bus.publish(Envelope(topic: topic, payload: Array("2".utf8))).outcome
                let published = deleted.duration(to: .now)
                print("exchange deleted: \(outcome) after \(published)")
                // The connection for consuming may not be open yet.
                try await eventually("one connection of each kind, and no second one") {
                    bus.health().components.compactMap { $0.details["connections"] } == [1, 1]
                }
            }
        }

        @Test func `when one of two brokers dies the other is used`() async throws {
            let (first, second) = (try await FaultTests.broker(), try await TestBroker.shared())
            let name = freshName()
            var configuration = try first.configuration { $0.exchange = "events-\(name)" }
            let firstProxy = try TestProxy(to: configuration.hosts[0].port)
            let secondProxy = try TestProxy(to: try RabbitConfiguration(uri: second.url).hosts[0].port)
            configuration.hosts = [
                .init("127.0.0.1", port: firstProxy.port), .init("127.0.0.1", port: secondProxy.port),
            ]
            configuration.credentials = .init(user: "user-\(name)", password: "secret")
            for broker in [first, second] {
                try await broker.control("add_user", configuration.credentials.user, "secret")
                try await broker.control("set_permissions", configuration.credentials.user, ".*", ".*", ".*")
            }
            // Until the first one has ended, the second one receives nothing.
            secondProxy.cut(after: 1, .toBroker)
            let topic = try Topic(validating: "\(name).probe")
            let bus = try EventBus(transport: .rabbit(configuration))
            let seen = SeenNumbers()
            bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { event, _ in
                seen.note(event.envelope)
            }
            try await bus.withRunning {
                try await bus.publish(Envelope(topic: topic, payload: Array("1".utf8)))
                try await eventually("handled by way of the first") { seen.all == [1] }
                try first.kill()
                secondProxy.cut(after: nil, .toBroker)
                let killed = ContinuousClock.now
                try await eventually("events find their queue on the second", within: .seconds(20)) {
                    let options = PublishOptions(deadline: .seconds(10))
                    return try await bus.publish(Envelope(topic: topic, payload: Array("2".utf8)), options: options)
                        .outcome == .routed
                }
                let published = killed.duration(to: .now)
                try await eventually("handled by way of the second") { seen.all == [1, 2] }
                let consumed = killed.duration(to: .now)
                print(
                    "host change: publishing \(published) and consuming \(consumed) after the first broker was killed"
                )
            }
        }
    }
}
