import ConnectionThread
import EventBus
import EventBusTesting
import Logging
import MetricsTestKit
import Testing

@testable import EventBusRabbit

/// The events and the metrics of a transport.
@Suite(.timeLimit(.minutes(2)))
struct TransportEventTests {
    /// The events that an observer has received.
    private final class Observed: Sendable {
        private let state = Locked((events: [TransportEvent](), isEnded: false))

        var all: [TransportEvent] { state.withLock { $0.events } }
        var isEnded: Bool { state.withLock { $0.isEnded } }

        init(_ events: AsyncStream<TransportEvent>) {
            Task {
                for await event in events { state.withLock { $0.events.append(event) } }
                state.withLock { $0.isEnded = true }
            }
        }

        func count(_ kind: TransportEvent.Kind, _ subject: String) -> Int {
            all.count { $0.kind == kind && $0.subject == subject }
        }
    }

    @Test func `a transport event has no control character and is short, whatever the peer chose`() {
        let nasty = "a\n\u{1B}[2J\u{9B}31m\u{202E}" + String(repeating: "x\u{9B}", count: 1 << 19)
        let event = TransportEvent(.refused, nasty, reason: nasty)
        for text in [event.subject, event.reason ?? "", event.description] {
            #expect(text.utf8.count < 5000)
            #expect(!text.unicodeScalars.contains { [.control, .format].contains($0.properties.generalCategory) })
        }
    }

    @Test func `connections, consumers and publishes without a queue are reported to every observer`() async throws {
        let name = freshName()
        let direct = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        let proxy = try TestProxy(to: direct.hosts[0].port)
        var configuration = direct
        configuration.hosts[0].port = proxy.port
        let transport = try RabbitTransport(configuration)
        let observers = [Observed(transport.events()), Observed(transport.events())]
        let bus = EventBus(transport: transport)
        let topic = try Topic(validating: "\(name).probe")
        let subscription = bus.subscribe(to: TopicPattern(topic), group: "group-\(name)", name: "probe") { _, _ in }
        let queue = "group-\(name).probe"
        try await bus.withRunning {
            let unknown = try Topic(validating: "\(name).unknown")
            try await bus.publish(Envelope(topic: unknown, payload: []))
            for observer in observers {
                try await eventually("\(observer.all)") {
                    observer.count(.connected, "publish") == 1 && observer.count(.connected, "consume") == 1
                        && observer.count(.consumerAttached, queue) == 1
                        && observer.count(.returned, unknown.rawValue) == 1
                }
            }
            proxy.cutAll()
            for observer in observers {
                try await eventually("\(observer.all)") {
                    observer.count(.disconnected, "publish") >= 1 && observer.count(.disconnected, "consume") >= 1
                        && observer.count(.consumerDetached, queue) >= 1
                        && observer.count(.connected, "publish") >= 2 && observer.count(.connected, "consume") >= 2
                        && observer.count(.consumerAttached, queue) >= 2
                }
                #expect(observer.all.allSatisfy { $0.kind != .disconnected || $0.reason != nil })
            }
            await subscription.cancel()
            for observer in observers {
                try await eventually("\(observer.all)") { observer.count(.consumerDetached, queue) >= 2 }
            }
        }
        for observer in observers { try await eventually("the stream ends") { observer.isEnded } }
        let late = Observed(transport.events())
        try await eventually("a stream of an ended transport ends") { late.isEnded }
    }

    @Test func `an event that the broker refuses is reported with the reason`() async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration {
            $0.exchange = "events-\(name)"
            $0.route = { _ in .init(exchange: "missing-\(name)", routingKey: "elsewhere") }
        }
        let transport = try RabbitTransport(configuration)
        let observer = Observed(transport.events())
        let bus = EventBus(transport: transport)
        let topic = try Topic(validating: "\(name).probe")
        try await bus.withRunning {
            let error = await #expect(throws: EventBusError.self) {
                try await bus.publish(Envelope(topic: topic, payload: []))
            }
            #expect(error?.code == .notFound)
            try await eventually("\(observer.all)") { observer.count(.refused, "elsewhere") == 1 }
            let reason = observer.all.first { $0.kind == .refused }?.reason
            #expect(reason?.contains("missing-\(name)") == true)
        }
    }

    @Test func `a broker that takes no events for a while is reported`() async throws {
        let peer = try FakePeer(
            .init(answer: { method, _, count in
                guard method == .publish, count == 1 else { return nil }
                return [
                    AMQPFrame(channel: 0, payload: AMQPBytes.method(10, 60) { $0.shortString("low on memory") }),
                    AMQPFrame(channel: 0, payload: AMQPBytes.method(10, 61) { _ in }),
                ]
            })
        )
        var configuration = try RabbitConfiguration(uri: "amqp://127.0.0.1:\(peer.port)/")
        configuration.declaration = .passive
        let transport = try RabbitTransport(configuration)
        let observer = Observed(transport.events())
        let running = Task { try await transport.run() }
        try await eventually("\(observer.all)") { observer.count(.connected, "publish") == 1 }
        // It is never confirmed.
        let publishing = Task {
            try await transport.publish(
                Envelope(topic: "a.b", payload: []),
                options: .init(deadline: transport.clock.now.advanced(by: .seconds(60)))
            )
        }
        try await eventually("\(observer.all)") {
            let kinds = observer.all.filter { $0.subject == "publish" }.map(\.kind)
            return kinds == [.connected, .blocked, .unblocked]
        }
        #expect(observer.all.first { $0.kind == .blocked }?.reason == "low on memory")
        publishing.cancel()
        running.cancel()
        _ = await (publishing.result, running.result)
    }

    @Test func `a slow observer keeps the latest events, and holds up nobody`() async {
        let monitor = TransportMonitor()
        let stream = monitor.events()
        let count = TransportMonitor.bufferSize + 10
        for number in 0..<count { monitor.note(.returned, "\(number)") }
        monitor.finish()
        var subjects: [String] = []
        for await event in stream { subjects.append(event.subject) }
        #expect(subjects == (10..<count).map { "\($0)" })
    }

    @Test func `the confirm of one event at a time is measured`() {
        var sample = ConfirmSample()
        #expect(sample.confirmed(1, multiple: true) == nil)
        sample.begin(3)
        #expect(sample.confirmed(2, multiple: true) == nil)
        #expect(sample.confirmed(4, multiple: false) == nil)
        #expect(!sample.isIdle)
        #expect(sample.confirmed(4, multiple: true) != nil)
        #expect(sample.isIdle)
        sample.begin(5)
        sample.cancel()
        #expect(sample.confirmed(5, multiple: false) == nil)
    }

    @Test func `confirms are timed, and queues and dead letters are gauged`() async throws {
        let name = freshName()
        let configuration = try await TestBroker.shared().configuration {
            $0.exchange = "events-\(name)"
            $0.consumerCheckInterval = .milliseconds(20)
        }
        let metrics = TestMetrics()
        let logger = Logger(label: "eventbus.rabbitmq", factory: { _ in SwiftLogNoOpLogHandler() })
        let transport = try RabbitTransport(configuration, logger: logger, metrics: TransportMetrics(factory: metrics))
        let bus = EventBus(transport: transport)
        let topic = try Topic(validating: "\(name).probe")
        let group = "group-\(name)"
        let release = Signal()
        let one = SubscriptionOptions(concurrency: 1, prefetch: 1)
        bus.subscribe(to: TopicPattern(topic), group: group, name: "slow", options: one) { _, _ in
            try await release.wait()
        }
        bus.subscribe(to: TopicPattern(topic), group: group, name: "failing", options: .init(retry: .never)) { _, _ in
            throw HandlerFailed()
        }
        @Sendable func gauge(_ label: String, _ dimension: (String, String)) -> Double? {
            try? metrics.expectGauge("eventbus.transport.\(label)", [dimension]).lastValue
        }
        try await bus.withRunning {
            for _ in 0..<5 { try await bus.publish(Envelope(topic: topic, payload: [])) }
            try await eventually("four events wait") { gauge("queue.depth", ("queue", "\(group).slow")) == 4 }
            try await eventually("they have an age") { (gauge("queue.age", ("queue", "\(group).slow")) ?? 0) > 0 }
            try await eventually("one consumer") { gauge("queue.consumers", ("queue", "\(group).slow")) == 1 }
            try await eventually("five dead letters") { gauge("dead_letters.depth", ("group", group)) == 5 }
            try await eventually("they have an age") { (gauge("dead_letters.age", ("group", group)) ?? 0) > 0 }
            try await eventually("no consumer of them") { gauge("dead_letters.consumers", ("group", group)) == 0 }
            try await eventually("a confirm was timed") {
                let timer = try? metrics.expectTimer("eventbus.transport.confirm.duration")
                return (timer?.values.count ?? 0) > 0
            }
            try await eventually("two connections are counted") {
                let counter = try? metrics.expectCounter("eventbus.transport.events", [("kind", "connected")])
                return counter?.totalValue == 2
            }
            release.raise()
            try await eventually("nothing waits") { gauge("queue.depth", ("queue", "\(group).slow")) == 0 }
        }
    }
}
