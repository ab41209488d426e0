import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// Records of a dead-lettering that a publisher begins, in forms that the broker takes for its own.
@Suite(.timeLimit(.minutes(3)))
struct ForgedDeathTests {
    private struct Scene {
        let name = freshName()
        let configuration: RabbitConfiguration
        let bus: EventBus

        var group: String { "group-\(name)" }
        /// The queue that receives every public event, and has no consumer.
        var notes: String { "\(group).notes" }
        /// The queue of the same group that receives only payments.
        var payouts: String { "\(group).payouts" }
        var letters: any DeadLetterQueue { bus.deadLetters(of: group) }

        init() async throws {
            let exchange = "events-\(name)"
            configuration = try await TestBroker.shared().configuration { $0.exchange = exchange }
            bus = try EventBus(transport: .rabbit(configuration))
            var queues: [QueueSpecification] = []
            for (queue, topic) in [("notes", "public.#"), ("payouts", "public.admin.payment")] {
                let pattern = try TopicPattern(validating: topic)
                queues.append(QueueSpecification(group: group, name: queue, patterns: [pattern], prefetch: 1))
            }
            try await RabbitTransport.declareTopology(for: queues, on: configuration)
        }

        /// Sends events that expire at once, with these headers.
        func send(_ headers: [[(name: String, value: NastyValue)]]) async throws {
            let messages = headers.enumerated().map { number, headers in
                HostileMessage(
                    number: number,
                    topic: "public.note",
                    forgeries: [Forgery(field: .property(.expiration), value: .text("1"))]
                        + headers.map { Forgery(field: .header($0.name), value: $0.value) }
                )
            }
            let accepted = try await HostilePeer(configuration: configuration).send(messages)
            #expect(accepted == headers.count)
        }
    }

    @Test func `a header that is given twice has its first value, as at the broker`() async throws {
        let scene = try await Scene()
        let handled = Received()
        scene.bus.subscribe(to: "public.#", group: scene.group, name: "notes") { _, context in
            handled.add(context.envelope)
        }
        try await scene.bus.withRunning {
            let message = HostileMessage(
                number: 1,
                topic: "public.note",
                forgeries: [
                    Forgery(field: .header("a"), value: .integer(1)), Forgery(field: .header("a"), value: .integer(2)),
                    // A decimal has no counterpart in Swift.
                    Forgery(field: .header("b"), value: .decimal(scale: 1, 1)),
                    Forgery(field: .header("b"), value: .integer(2)),
                ]
            )
            let accepted = try await HostilePeer(configuration: scene.configuration).send([message])
            #expect(accepted == 1)
            try await eventually("handled") { handled.all.count == 1 }
            #expect(handled.all[0].headers["a"] == 1)
            #expect(handled.all[0].headers["b"] == nil)
        }
    }
}
