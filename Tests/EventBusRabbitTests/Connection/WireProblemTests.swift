import ConnectionThread
import EventBus
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct WireProblemTests {
    private struct Draft {
        var exchange = "e"
        var routingKey = "r"
        var properties = AMQPProperties()
    }

    private func publish(_ change: (inout Draft) -> Void) -> AMQPPublish {
        var draft = Draft()
        change(&draft)
        return AMQPPublish(
            exchange: draft.exchange,
            routingKey: draft.routingKey,
            properties: draft.properties,
            body: []
        )
    }

    private static let long = String(repeating: "ü", count: 128)

    @Test func `no text of an event may be longer than AMQP's short strings`() {
        let changes: [(inout Draft) -> Void] = [
            { $0.exchange = Self.long }, { $0.routingKey = Self.long }, { $0.properties.messageID = Self.long },
            { $0.properties.correlationID = Self.long }, { $0.properties.type = Self.long },
            { $0.properties.appID = Self.long }, { $0.properties.contentType = Self.long },
            { $0.properties.contentEncoding = Self.long }, { $0.properties.replyTo = Self.long },
            { $0.properties.headers = [Self.long: 1] }, { $0.properties.headers = ["a": [["b": [Self.long: nil]]]] },
        ]
        for change in changes {
            let problem = publish(change).problem(frameMaximum: 131_072)
            #expect(problem?.kind == .textTooLong)
            #expect(problem?.busError.code == .invalidEnvelope)
            #expect(problem?.text.contains("256 bytes") == true)
        }
        #expect(
            publish { $0.properties.messageID = String(Self.long.dropLast()) }.problem(frameMaximum: 131_072) == nil
        )
    }

    @Test func `the properties have to fit into the frame that was agreed on`() {
        let large = publish { $0.properties.headers = ["large": .string(String(repeating: "x", count: 5000))] }
        #expect(large.problem(frameMaximum: 131_072) == nil)
        let problem = large.problem(frameMaximum: 4096)
        #expect(problem?.kind == .propertiesTooLarge)
        #expect(problem?.busError.code == .tooLarge)
        #expect(large.problem(frameMaximum: large.properties.encodedSize + 8) == nil)
        #expect(large.problem(frameMaximum: large.properties.encodedSize + 7) != nil)
    }

    @Test func `what cannot go out leaves the window, and its number to the next`() {
        var machine = PublishStateMachine<Int>(maximumCount: 2, maximumBytes: 1000)
        var resolved: [PublishStateMachine<Int>.Resolved] = []
        machine.connected()
        for id in 1...2 {
            machine.add(
                .init(
                    id: UInt64(id),
                    publish: publish { $0.routingKey = "r\(id)" },
                    outcome: .routed,
                    deadline: .init(nanoseconds: 10),
                    token: id
                )
            )
        }
        _ = machine.takeNext()
        let problem = WireProblem(kind: .textTooLong, text: "")
        machine.dropTaken(problem, &resolved)
        #expect(resolved.map(\.resolution) == [.unsendable(problem)])
        #expect(machine.takeNext()?.routingKey == "r2")
        machine.confirmed(tag: 1, multiple: false, isAcknowledged: true, &resolved)
        #expect(resolved.map(\.token) == [1, 2])
    }
}
