import EventBusTesting
import Testing

@testable import EventBus

@Suite("The probe of a paused by-key subscription", .timeLimit(.minutes(1)))
struct ProbePermitTests {
    private let clock = ManualClock()
    private let queue: DeliveryQueue

    init() {
        var options = DeliveryQueue.Options()
        options.byKey = true
        options.tooOld = .reopensChannel
        options.maximumWait = .seconds(10)
        options.watchesAge = true
        queue = DeliveryQueue(options, clock: AnyClock(clock))
    }

    private func delivery(_ number: UInt64, generation: UInt64 = 1) -> Delivery {
        Delivery(
            envelope: Envelope(topic: "a", payload: [], partitionKey: "key"),
            attempt: 1,
            token: .init(generation: generation, number: number)
        )
    }

    @Test("A delivery that has become too old to probe is returned, and the next one probes after the reopening")
    func tooOld() async throws {
        defer { _ = queue.close() }
        queue.receive(contentsOf: [delivery(1), delivery(2)])
        let taken = await queue.next(for: 0)
        let first = try #require(taken)
        queue.closeGate()
        clock.advance(by: .seconds(9))
        #expect(queue.openGateForProbe() == nil)
        // The second one waits behind the first one until it is too old.
        clock.advance(by: .seconds(2))
        let reopening = queue.reopening
        let next = Locked<TrackedDelivery?>(nil)
        Task {
            let delivery = await queue.next(for: 0, finishing: first.delivery)
            next.withLock { $0 = delivery }
        }
        try await reopening.wait()
        _ = queue.prepareReopening()
        queue.revoke(through: 1)
        queue.receive(delivery(2, generation: 2))
        queue.resume()
        try await eventually("the probe starts", within: .seconds(5)) { next.withLock { $0 } != nil }
        #expect(next.withLock { $0?.isProbe } == true)
    }
}
