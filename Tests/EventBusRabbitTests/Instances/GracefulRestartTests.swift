import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

extension FaultTests {
    /// Instances that are restarted in order while events wait. A broker before 4.3 counts each restart as a redelivery
    /// of every event that was prefetched.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct GracefulRestartTests {
        /// More than the delivery limit.
        private static let restarts = 21
        private static let held = 8

        private struct Scene {
            let configuration: RabbitConfiguration
            let topic: Topic
            let group: String

            init() async throws {
                let name = freshName()
                configuration = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
                topic = try Topic(validating: "\(name).probe")
                group = "group-\(name)"
            }

            /// Returns a detail of the subscription's health.
            func detail(_ name: String, of bus: EventBus) -> Int? {
                bus.health().components.first { $0.name == "subscription.\(group).probe" }?.details[name]
            }

            /// Starts an instance whose handler is `handler`.
            func instance(
                _ options: SubscriptionOptions,
                _ handler: @escaping @Sendable (ReceivedEvent, EventContext) async throws -> Void
            ) async throws -> Instance {
                var own = EventBusConfiguration()
                own.shutdownTimeout = .milliseconds(50)
                let bus = try EventBus(transport: .rabbit(configuration), configuration: own)
                let subscription = bus.subscribe(
                    to: TopicPattern(topic),
                    group: group,
                    name: "probe",
                    options: options,
                    handler: handler
                )
                let instance = Instance(bus)
                try await subscription.attached()
                return instance
            }

            func publish(_ numbers: Range<Int>, _ key: (Int) -> String?) async throws {
                let bus = try EventBus(transport: .rabbit(configuration))
                let topic = topic
                let envelopes = numbers.map { number in
                    Envelope(topic: topic, payload: Array("\(number)".utf8), partitionKey: key(number))
                }
                try await bus.withRunning {
                    for result in try await bus.publish(contentsOf: envelopes) {
                        let outcome = try result.get().outcome
                        #expect(outcome == .routed)
                    }
                }
            }

            func deadLetters() async throws -> Int {
                let bus = try EventBus(transport: .rabbit(configuration))
                let group = group
                return try await bus.withRunning { try await bus.deadLetters(of: group).count() }
            }
        }

        @Test func `events that are held over 21 graceful restarts are handled, as concurrently as before`()
            async throws
        {
            let scene = try await Scene()
            // Each key has an event that is retried, and one that waits behind it.
            let options = SubscriptionOptions(
                concurrency: Self.held,
                retry: .fixed(.seconds(60), maximumAttempts: 5),
                ordering: .byPartitionKey
            )
            try await RabbitTransport.declareTopology(
                for: [
                    QueueSpecification(
                        group: scene.group,
                        name: "probe",
                        patterns: [TopicPattern(scene.topic)],
                        prefetch: 256,
                        singleActiveConsumer: true
                    )
                ],
                on: scene.configuration
            )
            try await scene.publish(0..<2 * Self.held) { "k\($0 % Self.held)" }
            for restart in 0..<Self.restarts {
                let instance = try await scene.instance(options) { _, _ in throw HandlerFailed() }
                try await eventually("the keys are held in run \(restart)") {
                    scene.detail("held", of: instance.bus) == Self.held
                        && scene.detail("waiting", of: instance.bus) == Self.held
                }
                try await instance.end()
            }
            try await expectAll(2 * Self.held, scene, options)
        }

        @Test func `events that are prefetched over 21 graceful restarts are handled, as concurrently as before`()
            async throws
        {
            let scene = try await Scene()
            var options = SubscriptionOptions(concurrency: 1)
            options.prefetch = 64
            let first = try await scene.instance(options) { _, _ in }
            try await first.end()
            try await scene.publish(0..<3 * Self.held) { _ in nil }
            for restart in 0..<Self.restarts {
                let instance = try await scene.instance(options) { _, _ in
                    try await ContinuousClock().sleep(for: .seconds(600))
                }
                try await eventually("everything is prefetched in run \(restart)") {
                    scene.detail("running", of: instance.bus) == 1
                        && scene.detail("waiting", of: instance.bus) == 3 * Self.held - 1
                }
                try await instance.end()
            }
            options.concurrency = Self.held
            try await expectAll(3 * Self.held, scene, options)
        }

        /// Expects that one more instance handles all events, several of them at the same time.
        private func expectAll(_ count: Int, _ scene: Scene, _ options: SubscriptionOptions) async throws {
            let seen = SeenNumbers()
            let running = Locked((now: 0, most: 0))
            let instance = try await scene.instance(options) { event, _ in
                running.withLock { running in
                    running.now += 1
                    running.most = max(running.most, running.now)
                }
                // An event that is handled alone would wait here forever.
                try await eventually("others are handled at the same time") {
                    running.withLock { $0.most } == Self.held
                }
                running.withLock { $0.now -= 1 }
                seen.note(event.envelope)
            }
            try await eventually("all handled") { seen.all == Set(0..<count) }
            #expect(seen.count == count)
            try await instance.end()
            #expect(try await scene.deadLetters() == 0)
        }

        @Test func `a by-key subscription attaches to the queue that an earlier release declared`() async throws {
            let scene = try await Scene()
            let options = SubscriptionOptions(ordering: .byPartitionKey)
            var old = scene.configuration
            old.queues["\(scene.group).probe"] = .init(arguments: ["x-delivery-limit": 20])
            let queue = QueueSpecification(
                group: scene.group,
                name: "probe",
                patterns: [TopicPattern(scene.topic)],
                prefetch: 256,
                singleActiveConsumer: true
            )
            try await RabbitTransport.declareTopology(for: [queue], on: old)
            try await RabbitTransport.declareTopology(for: [queue], on: scene.configuration)
            let seen = SeenNumbers()
            let instance = try await scene.instance(options) { event, _ in seen.note(event.envelope) }
            try await scene.publish(0..<1) { _ in "k" }
            try await eventually("handled") { seen.all == [0] }
            try await instance.end()
        }
    }
}
