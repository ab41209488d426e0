import Testing

@testable import EventBus

@Suite("Delivery lanes", .timeLimit(.minutes(1)))
struct PartitionedQueueTests {
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

    @Test("Without keys, deliveries are handled in the order of arrival")
    func order() {
        let lanes = Lanes(byKey: false)
        for number in 1...3 { lanes.receive(delivery(UInt64(number), key: "same")) }
        let all = [lanes.take(), lanes.take(), lanes.take()]
        #expect(all.map { $0?.token.number } == [1, 2, 3])
        #expect(lanes.take() == nil)
        #expect(lanes.running == 3)
    }

    @Test("By key, events of one key are handled one at a time, and other keys overtake")
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

    @Test("An event whose id was derived is recognized when its channel is reopened")
    func reopenedWithDerivedID() throws {
        var lanes = PartitionedQueue(byKey: true)
        let event = Envelope(topic: "a", payload: [], partitionKey: "key")
        func delivery(generation: UInt64) -> Delivery {
            Delivery(envelope: event, attempt: 1, token: .init(generation: generation, number: 1))
        }
        let start = AnyClock.Instant(offset: .zero)
        lanes.receive(delivery(generation: 1), at: start)
        let taken = lanes.take()
        var tracked = try #require(taken)
        tracked.delivery = tracked.delivery.identified(as: "derived")
        tracked.attempt = 3
        lanes.hold(tracked)
        lanes.pause()
        lanes.rememberAll(at: AnyClock.Instant(offset: .zero))
        _ = lanes.revoke(through: 1)
        lanes.receive(delivery(generation: 2), at: start)
        lanes.resume(at: start)
        let redelivered = lanes.take()
        #expect(redelivered?.attempt == 3)
    }

    @Test("An event that comes again before the end of its hold counts only the time that has passed as deferred")
    func endsHold() {
        func at(_ seconds: Int) -> AnyClock.Instant { AnyClock.Instant(offset: .seconds(seconds)) }
        let envelope = Envelope(topic: "a", payload: [])
        var tracked = TrackedDelivery(
            Delivery(envelope: envelope, attempt: 1, token: .init(generation: 1, number: 1)),
            arrival: at(0)
        )
        (tracked.deferredFor, tracked.heldUntil) = (.seconds(450), at(450))
        tracked.endHold(at: at(10))
        #expect(tracked.deferredFor == .seconds(10))
        tracked.endHold(at: at(10))
        #expect(tracked.deferredFor == .seconds(10))
        (tracked.deferredFor, tracked.heldUntil) = (.zero, at(450))
        tracked.endHold(at: at(20))
        #expect(tracked.deferredFor == .zero)
    }

    @Test("A delivery with too many redeliveries runs alone")
    func alone() throws {
        let lanes = Lanes(byKey: false)
        lanes.receive(delivery(1))
        lanes.receive(delivery(2, redeliveries: PartitionedQueue.aloneAfterRedeliveries))
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
        // The first one crashes the process whenever it starts. The broker redelivers unhandled ones in the same order.
        var left = Array(1...count)
        for redeliveries in PartitionedQueue.aloneAfterRedeliveries...20 where left.count > 1 {
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

    @Test("Unstarted deliveries of a lost connection are dropped, and their keys continue")
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

    @Test("A delivery held for a retry keeps its key, but neither counts as running nor blocks others")
    func held() throws {
        let lanes = Lanes(byKey: true)
        let suspicious = PartitionedQueue.aloneAfterRedeliveries
        lanes.receive(delivery(1, key: "a", redeliveries: suspicious))
        lanes.receive(delivery(2, key: "a"))
        lanes.receive(delivery(3, key: "b", redeliveries: suspicious))
        lanes.receive(delivery(4, key: "c"))
        // The order of the two that run alone is random.
        for _ in 0..<2 { lanes.hold(try #require(lanes.takeTracked())) }
        #expect(lanes.running == 0)
        let other = try #require(lanes.take())
        #expect(other.token.number == 4)
        lanes.release(.init(generation: 1, number: 1))
        #expect(lanes.take() == nil, "it began beside another, although it runs alone")
        lanes.finish(other)
        let first = try #require(lanes.take())
        #expect(first.token.number == 1)
        lanes.finish(first)
        #expect(lanes.take()?.token.number == 2)
        #expect(lanes.close().map(\.token.number) == [3])
    }

    @Test("A held delivery of a lost connection is dropped, and its key continues")
    func revokedWhileHeld() throws {
        let lanes = Lanes(byKey: true)
        lanes.receive(delivery(1, key: "a"))
        lanes.hold(try #require(lanes.takeTracked()))
        lanes.receive(delivery(1, key: "a", generation: 2))
        #expect(lanes.take() == nil)
        #expect(lanes.revoke(through: 1) == [.init(generation: 1, number: 1)])
        #expect(lanes.take()?.token.generation == 2)
        #expect(!lanes.release(.init(generation: 1, number: 1)))
    }

    @Test("An event that is redelivered over a reopened channel keeps its attempts and is not a suspect")
    func reopening() throws {
        let lanes = Lanes(byKey: true)
        let events = [delivery(1, key: "a"), delivery(2, key: "a")]
        for event in events { lanes.receive(event) }
        var failed = try #require(lanes.takeTracked())
        failed.attempt = 4
        failed.firstFailure = .now()
        lanes.hold(failed)
        for generation in 2...5 as ClosedRange<UInt64> {
            lanes.reopen(revoking: generation - 1)
            #expect(lanes.waiting == 0)
            for event in events {
                let again = Delivery(
                    envelope: event.envelope,
                    attempt: 1,
                    redeliveries: Int(generation) - 1,
                    token: .init(generation: generation, number: event.token.number)
                )
                lanes.receive(again, at: 100)
            }
            #expect(lanes.take() == nil, "something began before the channel was open again")
            lanes.resume(at: 100)
            let first = try #require(lanes.takeTracked())
            #expect(first.attempt == 4)
            #expect(first.firstArrival.offset == .zero)
            #expect(first.arrival.offset == .seconds(100))
            #expect(first.suspiciousRedeliveries == 0)
            lanes.hold(first)
        }
        let lost = lanes.close().map(\.token.number)
        #expect(lost.sorted() == [1, 2])
    }

    @Test("A suspect starts beside an abandoned delivery, whose late end lets nothing start beside the suspect")
    func abandoned() throws {
        let lanes = Lanes(byKey: false)
        lanes.receive(delivery(1))
        let hung = try #require(lanes.take())
        for number in 2...3 {
            lanes.receive(delivery(UInt64(number), redeliveries: PartitionedQueue.aloneAfterRedeliveries))
        }
        #expect(lanes.take() == nil)
        lanes.abandon(hung)
        let suspect = try #require(lanes.take())
        lanes.finish(hung)
        #expect(lanes.take() == nil, "another began beside the suspect")
        lanes.abandon(suspect)
        #expect(lanes.take() != nil)
        #expect(lanes.running == 2)
    }

    @Test("The key of an abandoned delivery is left once")
    func abandonedKey() throws {
        let lanes = Lanes(byKey: true)
        for number in 1...3 { lanes.receive(delivery(UInt64(number), key: "a")) }
        let hung = try #require(lanes.take())
        lanes.abandon(hung)
        #expect(lanes.take() == nil)
        lanes.leaveKey(ofAbandoned: hung)
        lanes.leaveKey(ofAbandoned: hung)
        #expect(lanes.take()?.token.number == 2)
        lanes.finish(hung)
        #expect(lanes.take() == nil, "two of one key run")
        #expect(lanes.running == 1)
    }

    @Test("A close returns unstarted deliveries once, and stores nothing more")
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

/// The machine as a class, because an expectation cannot change captured values.
private final class Lanes {
    private var lanes: PartitionedQueue

    init(byKey: Bool) { lanes = PartitionedQueue(byKey: byKey) }

    var waiting: Int { lanes.waiting }
    var running: Int { lanes.running }

    func receive(_ delivery: Delivery, at seconds: Int = 0) {
        lanes.receive(delivery, at: AnyClock.Instant(offset: .seconds(seconds)))
    }
    func take() -> Delivery? { takeTracked()?.delivery }
    func takeTracked() -> TrackedDelivery? { lanes.take() }
    func finish(_ delivery: Delivery) { lanes.finish(delivery) }
    func abandon(_ delivery: Delivery) { lanes.abandon(delivery) }
    func leaveKey(ofAbandoned delivery: Delivery) { lanes.leaveKey(ofAbandoned: delivery) }
    func hold(_ tracked: TrackedDelivery) { lanes.hold(tracked) }
    @discardableResult
    func release(_ token: Delivery.Token) -> Bool { lanes.release(token) }
    @discardableResult
    func revoke(through generation: UInt64) -> [Delivery.Token] { lanes.revoke(through: generation) }
    func reopen(revoking generation: UInt64) {
        lanes.pause()
        lanes.rememberAll(at: AnyClock.Instant(offset: .zero))
        _ = lanes.revoke(through: generation)
    }
    func resume(at seconds: Int) { lanes.resume(at: AnyClock.Instant(offset: .seconds(seconds))) }
    func close() -> [Delivery] { lanes.close().map(\.delivery) }
}
