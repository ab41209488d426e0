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

    /// The headers with which a letter of a bus says where it is from.
    private func claim(of queue: String) -> [(name: String, value: NastyValue)] {
        [
            ("x-eventbus-queue", .text(queue)), ("x-eventbus-topic", .text("public.admin.payment")),
            ("x-eventbus-attempts", .integer(7)), ("x-eventbus-reason", .text("invented")),
            ("x-eventbus-error-message", .text("invented")),
        ]
    }

    /// The headers of events whose record leads to `payouts`, or is not readable.
    private func forgeries(_ scene: Scene) -> [[(name: String, value: NastyValue)]] {
        let (notes, payouts, expired) = (Array(scene.notes.utf8), NastyValue.text(scene.payouts), Array("expired".utf8))
        let invented = NastyValue.table([
            ("queue", payouts), ("reason", .text("rejected")), ("exchange", .text("")),
            ("routing-keys", .array([payouts])),
        ])
        let begun: [NastyValue] = [
            .table([("queue", .bytes(notes)), ("reason", .text("expired"))]),
            .table([("queue", .text(notes)), ("reason", .bytes(expired))]),
            .table([("queue", .bytes(notes)), ("reason", .bytes(expired)), ("queue", payouts)]),
            .table([("queue", .text(notes)), ("reason", .text("expired")), ("reason", .text("rejected"))]),
        ]
        return begun.flatMap { record in
            [[], [invented]].map { rest in [("x-death", .array([record] + rest))] + claim(of: scene.payouts) }
        } + [
            [("x-death", .array([])), ("x-death", .array([invented]))] + claim(of: scene.payouts),
            [("x-death", .void), ("x-death", .array([invented]))] + claim(of: scene.payouts),
        ]
    }

    private func check(_ letters: [DeadLetter], _ scene: Scene) {
        for letter in letters {
            #expect(letter.queue == scene.notes)
            #expect(letter.failure.reason == .expired)
            #expect(letter.envelope.topic != "public.admin.payment")
            #expect(letter.attempts == 0)
            #expect(!letter.failure.message.contains("invented"))
        }
    }

    /// Replays all letters that the tools agree to send again.
    private func replay(_ scene: Scene) async throws {
        do {
            _ = try await scene.letters.replayAll()
        } catch let error as EventBusError {
            #expect(error.code == .unsupported)
        }
        let strays = try await RawClient.count(queue: scene.payouts, scene.configuration)
        #expect(strays == 0)
    }

    @Test func `a record that a publisher began leads to no other subscription, and to no other topic`() async throws {
        let scene = try await Scene()
        let forgeries = forgeries(scene)
        try await scene.bus.withRunning {
            try await scene.send(forgeries)
            let letters = scene.letters
            try await eventually("all expired") { try await letters.count() == forgeries.count }
            let saved = try await letters.entries(limit: 100)
            #expect(saved.count == forgeries.count)
            check(saved, scene)
            try await replay(scene)
            // A letter that was saved and restored is no more trusted than before.
            _ = try await letters.discard { _ in true }
            try await letters.restore(saved)
            let restored = try await letters.entries(limit: 100)
            #expect(restored.count == saved.count)
            check(restored, scene)
            try await replay(scene)
        }
    }

    @Test func `a letter whose record is unreadable is of unknown origin`() throws {
        let decoder = DeadLetterDecoder(group: "ledger", messages: MessageDecoder(events: "events"))
        let invented: HeaderValue = .table([
            "queue": "ledger.payouts", "reason": "rejected", "exchange": "", "routing-keys": ["ledger.payouts"],
        ])
        let level: HeaderValue = .table(["queue": "eventbus.delay.v1.3", "reason": "expired"])
        let unreadable: [HeaderValue] = [
            .table(["queue": 1, "reason": "expired"]), .table(["queue": .bytes([0xFF]), "reason": "expired"]),
            .table(["queue": "ledger.notes"]), .table([:]), "text", .null, 1,
        ]
        let headers =
            unreadable.flatMap { [.array([$0]), .array([$0, invented]), .array([level, $0, invented])] }
            + [HeaderValue.array([]), .array([level]), "text", .null, .table([:])]
        for death in headers {
            var message = AMQPMessage(
                exchange: TopologyNames.deadLetterExchange,
                routingKey: "ledger",
                properties: .init(),
                body: []
            )
            message.properties.headers = [
                "x-death": death, "x-eventbus-queue": "ledger.payouts", "x-eventbus-topic": "public.admin.payment",
                "x-eventbus-attempts": 7, "x-eventbus-reason": "invented",
            ]
            let reading = decoder.read(message)
            #expect(reading.letter.queue.isEmpty, "\(death)")
            #expect(reading.topic == nil)
            #expect(reading.letter.attempts == 0)
            #expect(reading.letter.failure.reason.rawValue == "unknown")
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
