import EventBus
import EventBusInMemory

/// An in-memory transport whose attachments and run can be delayed or made to fail.
struct ScriptedTransport: Transport {
    var base: InMemoryTransport = .inMemory
    /// A closure that is called before a queue is attached.
    var beforeAttach: @Sendable (QueueSpecification) async throws -> Void = { _ in }
    /// A closure whose error ends ``run()``.
    var whileRunning: @Sendable () async throws -> Void = { try await Signal().wait() }

    var name: String { "scripted" }
    var clock: AnyClock { base.clock }

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await base.run() }
            group.addTask { try await whileRunning() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        try await base.publish(envelope, options: options)
    }

    func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        try await base.request(envelope, deadline: deadline)
    }

    func reply(_ envelope: Envelope, to address: ReplyAddress) async throws {
        try await base.reply(envelope, to: address)
    }

    func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        try await beforeAttach(queue)
        return try await base.attach(queue, to: sink)
    }

    func deadLetters(of group: String) -> any DeadLetterQueue { base.deadLetters(of: group) }
    func health() -> [ComponentHealth] { base.health() }
}
