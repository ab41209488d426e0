import Testing

@testable import EventBus

@Suite("Delivery lanes", .timeLimit(.minutes(1)))
struct DeliveryLanesTests {
    private func delivery(_ number: UInt64, key: String? = nil, redeliveries: Int = 0, generation: UInt64 = 1)
        -> Delivery
    {
        Delivery(
            envelope: Envelope(topic: "a", payload: [], partitionKey: key),
            attempt: 1,
            redeliveries: redeliveries,
            token: .init(generation: generation, number: number)
        )
    }

    @Test("Without keys, deliveries leave in the order they came")
    func order() {
        let lanes = Lanes(byKey: false)
        for number in 1...3 { lanes.receive(delivery(UInt64(number), key: "same")) }
        let all = [lanes.take(), lanes.take(), lanes.take()]
        #expect(all.map { $0?.token.number } == [1, 2, 3])
        #expect(lanes.take() == nil)
        #expect(lanes.running == 3)
    }

    @Test("By key, one key leaves one at a time, others pass it by")
    func lanes() throws {
        let lanes = Lanes(byKey: true)
        for (number, key) in [(1, "a"), (2, "a"), (3, "b"), (4, nil), (5, "a")] {
            lanes.receive(delivery(UInt64(number), key: key))
        }
        #expect(lanes.waiting == 5)
        let first = try #require(lanes.take())
        let others = [lanes.take(), lanes.take()]
        #expect(([first] + others).map { $0?.token.number } == [1, 3, 4])
        #expect(lanes.take() == nil)
        lanes.finish(first)
        let second = try #require(lanes.take())
        #expect(second.token.number == 2)
        #expect(lanes.take() == nil)
        lanes.finish(second)
        #expect(lanes.take()?.token.number == 5)
    }

    @Test("What the broker brought again too often runs alone")
    func alone() throws {
        let lanes = Lanes(byKey: false)
        lanes.receive(delivery(1))
        lanes.receive(delivery(2, redeliveries: DeliveryLanes.aloneAfterRedeliveries))
        lanes.receive(delivery(3))
        let first = try #require(lanes.take())
        #expect(lanes.take() == nil, "it began beside another")
        lanes.finish(first)
        let suspect = try #require(lanes.take())
        #expect(suspect.token.number == 2)
        #expect(lanes.take() == nil, "another began beside it")
        lanes.finish(suspect)
        #expect(lanes.take()?.token.number == 3)
    }

    @Test(
        "One that kills the process takes no other along to the delivery limit",
        arguments: [2, 10, 16, 64, 256]
    )
    func innocents(count: Int) throws {
        // The first kills the process whenever it begins; the broker brings what was not handled in the same order.
        var left = Array(1...count)
        for redeliveries in DeliveryLanes.aloneAfterRedeliveries...20 where left.count > 1 {
            let lanes = Lanes(byKey: false)
            for (index, _) in left.enumerated() {
                lanes.receive(delivery(UInt64(index + 1), redeliveries: redeliveries))
            }
            var handled: Set<Int> = []
            while let next = lanes.take(), next.token.number != 1 {
                handled.insert(left[Int(next.token.number) - 1])
                lanes.finish(next)
            }
            left.removeAll(where: handled.contains)
        }
        #expect(left == [1])
    }

    @Test("What a lost connection brought is dropped if it was not begun, and its lane goes on")
    func revocation() throws {
        let lanes = Lanes(byKey: true)
        lanes.receive(delivery(1, key: "a"))
        lanes.receive(delivery(2, key: "a"))
        lanes.receive(delivery(3, key: "b"))
        let begun = try #require(lanes.take())
        lanes.revoke(through: 1)
        #expect(lanes.waiting == 0)
        lanes.receive(delivery(1, key: "a", generation: 2))
        lanes.receive(delivery(3, key: "b", generation: 2))
        #expect(lanes.take()?.envelope.partitionKey == "b")
        #expect(lanes.take() == nil, "the key of a running handler was begun again beside it")
        lanes.finish(begun)
        #expect(lanes.take()?.token == .init(generation: 2, number: 1))
    }

    @Test("A close returns what was not begun, once, and stores nothing more")
    func closing() throws {
        let lanes = Lanes(byKey: true)
        for number in 1...4 { lanes.receive(delivery(UInt64(number), key: "a")) }
        let begun = try #require(lanes.take())
        let left = lanes.close()
        #expect(left.map(\.token.number).sorted() == [2, 3, 4])
        lanes.receive(delivery(5, key: "b"))
        lanes.finish(begun)
        #expect(lanes.take() == nil)
        #expect(lanes.running == 0 && lanes.waiting == 0)
        let nothing = lanes.close()
        #expect(nothing.isEmpty)
    }
}

/// The machine by reference, since an expectation cannot change what it captures.
private final class Lanes {
    private var lanes: DeliveryLanes

    init(byKey: Bool) { lanes = DeliveryLanes(byKey: byKey) }

    var waiting: Int { lanes.waiting }
    var running: Int { lanes.running }

    func receive(_ delivery: Delivery) { lanes.receive(delivery) }
    func take() -> Delivery? { lanes.take() }
    func finish(_ delivery: Delivery) { lanes.finish(delivery) }
    func revoke(through generation: UInt64) { lanes.revoke(through: generation) }
    func close() -> [Delivery] { lanes.close() }
}
