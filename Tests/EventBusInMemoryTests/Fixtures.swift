import EventBus

@testable import EventBusInMemory

extension Envelope {
    /// Returns an envelope with the payload `text`.
    static func sample(_ text: String = "x", topic: Topic = "order.created", key: String? = nil) -> Envelope {
        Envelope(id: EventID("id-\(text)"), topic: topic, payload: Array(text.utf8), partitionKey: key)
    }
}

extension QueueSpecification {
    static func sample(
        _ group: String = "stock",
        name: String = "orders",
        patterns: [TopicPattern] = ["order.created"],
        prefetch: Int = 10,
        singleActiveConsumer: Bool = false,
        broadcast: Bool = false
    ) -> QueueSpecification {
        QueueSpecification(
            group: group,
            name: name,
            patterns: patterns,
            prefetch: prefetch,
            singleActiveConsumer: singleActiveConsumer,
            broadcast: broadcast
        )
    }
}

extension Failure {
    static let sample = Failure(reason: .handlerFailed, errorType: "Oops", message: "it broke")
}

extension InMemoryTransport {
    /// Publishes with a distant deadline.
    @discardableResult
    func publish(_ envelope: Envelope, delay: Duration = .zero) async throws -> PublishOutcome {
        try await publish(
            envelope,
            options: TransportPublishOptions(deadline: clock.now.advanced(by: .seconds(3600)), delay: delay)
        )
    }
}

/// Runs `transports` while `body` does its work.
func running(
    _ transports: InMemoryTransport...,
    body: @Sendable () async throws -> Void
) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
        for transport in transports { group.addTask { try await transport.run() } }
        try await body()
        group.cancelAll()
        try await group.waitForAll()
    }
}
