import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// The crash record of a queue with a single active consumer, while it cannot be used.
@Suite(.timeLimit(.minutes(3)))
struct CrashRecordTests {
    private struct Scene {
        let name = freshName()
        let broker: TestBroker
        let user: String
        let direct: RabbitConfiguration
        let proxy: TestProxy
        let bus: EventBus
        let topic: Topic
        let begun = SeenNumbers()
        let mayEnd = Signal()

        var queue: String { "group-\(name).probe" }
        var record: String { "eventbus.crashes.v1.\(queue)" }

        /// Creates a bus whose handler waits until `mayEnd` is raised.
        init() async throws {
            broker = try await TestBroker.shared()
            try #require(broker.directory != nil, "needs a broker of our own")
            user = freshName("user")
            try await broker.control("add_user", user, "secret")
            try await broker.control("set_permissions", user, ".*", ".*", ".*")
            direct = try broker.configuration { [name, user] in
                $0.credentials = .init(user: user, password: "secret")
                $0.exchange = "events-\(name)"
            }
            proxy = try TestProxy(to: direct.hosts[0].port)
            var configuration = direct
            configuration.hosts[0].port = proxy.port
            bus = try EventBus(transport: .rabbit(configuration))
            topic = try Topic(validating: "\(name).probe")
            bus.subscribe(
                to: TopicPattern(topic),
                group: "group-\(name)",
                name: "probe",
                options: .init(concurrency: 4, ordering: .byPartitionKey)
            ) { [begun, mayEnd] event, _ in
                begun.note(event.envelope)
                try await mayEnd.wait()
            }
        }

        /// Publishes an event whose handler begins, and breaks the connections, so that it is delivered again.
        func publishAndCut() async throws {
            try await bus.publish(Envelope(topic: topic, payload: Array("1".utf8), partitionKey: "k"))
            try await eventually("begun") { begun.count == 1 }
            proxy.cutAll()
        }

        var connections: Int {
            bus.health().components.first { $0.name.hasSuffix(".consume") }?.details["connections"] ?? 0
        }
    }

    @Test func `a record that could not be replaced is back in its queue`() async throws {
        let scene = try await Scene()
        try await scene.bus.withRunning {
            try await scene.publishAndCut()
            try await eventually("delivered again") { scene.begun.count == 2 }
            try await eventually("recorded") {
                try await RawClient.count(queue: scene.record, scene.direct) == 1
            }
            // The next record cannot be written.
            try await scene.broker.control("set_permissions", scene.user, ".*", "^(?!amq\\.default).*", ".*")
            scene.proxy.cutAll()
            try await eventually("delivered once more") { scene.begun.count == 3 }
            try await eventually("the record is back", within: .seconds(10)) {
                try await RawClient.count(queue: scene.record, scene.direct) == 1
            }
            scene.mayEnd.raise()
        }
    }

    @Test func `a record whose queue has no leader ends no connection for consuming`() async throws {
        let scene = try await Scene()
        let server = "{'%2F_\(scene.record)', node()}"
        try await scene.bus.withRunning {
            try await eventually("connected") { scene.connections == 1 }
            try await scene.broker.control("eval", "ra:stop_server(quorum_queues, \(server)).")
            try await scene.publishAndCut()
            try await eventually("delivered again", within: .seconds(40)) { scene.begun.count == 2 }
            scene.mayEnd.raise()
            try await eventually("acknowledged") {
                try await scene.bus.publish(Envelope(topic: scene.topic, payload: Array("2".utf8), partitionKey: "k"))
                return scene.begun.all == [1, 2]
            }
            #expect(scene.connections == 2)
            print("a crash record without a leader: \(scene.connections) connections for consuming")
            try await scene.broker.control("eval", "ra:restart_server(quorum_queues, \(server)).")
        }
    }
}
