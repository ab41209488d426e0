import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Delayed events that were due while their way was interrupted, which their service has not noticed.
@Suite(.timeLimit(.minutes(3)))
struct MissedDelayTests {
    private struct Service {
        let bus: EventBus
        let topic: Topic
        let failed = SeenNumbers()
        let handled = SeenNumbers()

        /// Creates a service whose handler fails at the first attempt.
        init(_ name: String, retry: Duration, _ configuration: RabbitConfiguration) throws {
            bus = try EventBus(transport: .rabbit(configuration))
            topic = try Topic(validating: "\(name).probe")
            bus.subscribe(
                to: TopicPattern(topic),
                group: name,
                name: "probe",
                options: .init(concurrency: 8, retry: .fixed(retry, maximumAttempts: 3))
            ) { [failed, handled] event, context in
                guard context.attempt > 1 else {
                    failed.note(event.envelope)
                    throw HandlerFailed()
                }
                handled.note(event.envelope)
            }
        }

        func publish(_ numbers: Range<Int>) async throws {
            for number in numbers { try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8))) }
        }

        /// A Boolean value indicating whether the watch has made its first check.
        var isChecked: Bool {
            bus.health().components.contains { $0.name.hasSuffix(".probe") && $0.details["consumers"] == 1 }
        }
    }

    @Test func `retries of two services are handled after one of them has declared the exit again`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let host = freshName()
        try await broker.addVirtualHost(host)
        func service(_ name: String, asking interval: Duration) throws -> Service {
            let configuration = try broker.configuration {
                $0.virtualHost = host
                $0.consumerCheckInterval = interval
            }
            return try Service(name, retry: .seconds(1), configuration)
        }
        // The second one checks for objects every ten seconds, so that the first one restores the exchange.
        let (first, second) = (try service("a", asking: .milliseconds(200)), try service("b", asking: .seconds(2)))
        try await first.bus.withRunning {
            try await second.bus.withRunning {
                try await eventually("the second has checked once") { second.isChecked }
                try await first.publish(0..<5)
                try await second.publish(0..<5)
                try await eventually("all failed") { first.failed.all.count == 5 && second.failed.all.count == 5 }
                try await RawClient.delete(
                    exchange: "eventbus.delay.v1.exit",
                    try broker.configuration { $0.virtualHost = host }
                )
                let deleted = ContinuousClock.now
                try await eventually("handled by the first", within: .seconds(40)) { first.handled.all.count == 5 }
                print("exit deleted: first service \(deleted.duration(to: .now))")
                try await eventually("handled by the second", within: .seconds(40)) { second.handled.all.count == 5 }
                print("exit deleted: second service \(deleted.duration(to: .now))")
            }
        }
    }

    @Test func `retries that were due while the queue was gone and the service was cut off are handled`() async throws {
        let broker = try await TestBroker.shared()
        try #require(broker.directory != nil, "needs a broker of our own")
        let name = freshName()
        try await broker.addVirtualHost(name)
        let direct = try broker.configuration {
            $0.virtualHost = name
            $0.consumerCheckInterval = .milliseconds(200)
        }
        let proxy = try TestProxy(to: direct.hosts[0].port)
        var configuration = direct
        configuration.hosts[0].port = proxy.port
        let service = try Service("a", retry: .seconds(3), configuration)
        try await service.bus.withRunning {
            try await service.publish(0..<5)
            // The first level of three seconds is that of 1.6 s.
            try await eventually("waiting for the next attempt") {
                try await RawClient.count(queue: "eventbus.delay.v1.4", direct) == 5
            }
            proxy.cut(after: 1, .toBroker)
            proxy.cutAll()
            try await RawClient.delete(queue: "eventbus.delay.v1.due.a.probe", direct)
            try await RawClient.delete(queue: "a.probe", direct)
            try await eventually("they found no queue") {
                try await RawClient.count(queue: "eventbus.delay.v1.unroutable", direct) == 5
            }
            proxy.cut(after: nil, .toBroker)
            try await eventually("handled", within: .seconds(40)) { service.handled.all.count == 5 }
            try await eventually("none is left") {
                try await RawClient.count(queue: "eventbus.delay.v1.unroutable", direct) == 0
            }
        }
    }
}
