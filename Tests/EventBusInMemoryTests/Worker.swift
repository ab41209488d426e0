import EventBus

@testable import EventBusInMemory

/// A consumer that settles every delivery immediately according to `decide`.
final class Worker: Sendable {
    /// The payloads and attempts of the handled deliveries, in order.
    let handled = Locked<[String]>([])
    private let decide: @Sendable (Delivery) -> Disposition

    init(_ decide: @escaping @Sendable (Delivery) -> Disposition = { _ in .acknowledged }) {
        self.decide = decide
    }

    /// Runs `transport` and consumes the queue of `specification` while `body` runs.
    func run(
        on transport: InMemoryTransport,
        _ specification: QueueSpecification,
        body: @Sendable () async throws -> Void
    ) async throws {
        let (stream, continuation) = AsyncStream<Delivery>.makeStream()
        let sink = RecordingSink { continuation.yield($0) }
        try await running(transport) {
            let consumer = try await transport.attach(specification, to: sink)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await delivery in stream { try await self.work(on: delivery, of: consumer) }
                }
                try await body()
                continuation.finish()
                try await group.waitForAll()
            }
        }
    }

    private func work(on delivery: Delivery, of consumer: any TransportConsumer) async throws {
        do {
            if let fault = delivery.injectedFault {
                if fault == .crashAfterHandler { note(delivery) }
                try await consumer.settle(delivery, as: .retried(after: .milliseconds(10), .sample))
            } else {
                note(delivery)
                try await consumer.settle(delivery, as: decide(delivery))
            }
        } catch let error as EventBusError where error.code == .staleDelivery {
            // It is redelivered.
        }
    }

    private func note(_ delivery: Delivery) {
        handled.withLock { $0.append("\(delivery.text)\(delivery.attempt)") }
    }
}
