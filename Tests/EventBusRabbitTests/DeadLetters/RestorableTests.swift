import EventBus
import EventBusRabbit
import Testing

/// The check of a dead letter before it is restored, which needs no broker.
struct RestorableTests {
    private func code(_ change: (inout DeadLetter) -> Void) -> EventBusError.Code? {
        var letter = DeadLetter(
            envelope: Envelope(id: "a", topic: "order.created", payload: []),
            group: "inventory",
            queue: "inventory.orders",
            failure: Failure(reason: .undecodable, errorType: "E", message: "m", attempt: 1),
            attempts: 1,
            firstFailure: nil,
            lastFailure: .now()
        )
        change(&letter)
        do {
            try RabbitTransport.checkRestorable(letter)
            return nil
        } catch {
            return error.code
        }
    }

    @Test func `a letter that cannot be sent is found without a broker`() {
        #expect(code { _ in } == nil)
        // Those of foreign clients may be longer than a new event's.
        #expect(code { $0.envelope.headers["n"] = .string(String(repeating: "x", count: 125_000)) } == nil)
        #expect(code { $0.envelope.headers["n"] = .string(String(repeating: "x", count: 140_000)) } == .tooLarge)
        #expect(code { $0.envelope.headers["n"] = .double(.nan) } == .invalidEnvelope)
        #expect(code { $0.envelope.headers["x-eventbus-attempts"] = 1 } == .invalidEnvelope)
        #expect(code { $0.envelope.id = EventID(String(repeating: "x", count: 256)) } == .invalidEnvelope)
        #expect(code { $0.group = String(repeating: "x", count: 256) } == .invalidEnvelope)
    }
}
