package import EventBus

/// A transport that forwards everything to another one, except where a test says otherwise.
package struct ForwardingTransport: Transport {
    /// The transport that does the work.
    package let base: any Transport
    /// A closure that runs the transport.
    package var onRun: @Sendable (any Transport) async throws -> Void = { try await $0.run() }
    /// A closure that publishes an event, alone or as one of many.
    package var onPublish: @Sendable (any Transport, Envelope, TransportPublishOptions) async throws -> PublishOutcome =
        {
            try await $0.publish($1, options: $2)
        }
    /// A closure that attaches a queue.
    package var onAttach:
        @Sendable (any Transport, QueueSpecification, any DeliverySink) async throws -> any TransportConsumer = {
            try await $0.attach($1, to: $2)
        }

    /// Creates a transport that forwards everything to `base`.
    package init(to base: any Transport) {
        self.base = base
    }

    /// Creates a transport that calls `beforeAttach` before it attaches a queue.
    package init(
        to base: any Transport,
        beforeAttach: @escaping @Sendable (QueueSpecification) async throws -> Void
    ) {
        self.base = base
        onAttach = { base, queue, sink in
            try await beforeAttach(queue)
            return try await base.attach(queue, to: sink)
        }
    }

    package var name: String { base.name }
    package var clock: AnyClock { base.clock }
    package var maximumDelay: Duration { base.maximumDelay }
    package var consumerTimeout: Duration? { base.consumerTimeout }
    package var unroutableDelays: any DeadLetterQueue { base.unroutableDelays }

    package func run() async throws { try await onRun(base) }

    package func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        try await onPublish(base, envelope, options)
    }

    package func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        try await base.request(envelope, deadline: deadline)
    }

    package func reply(_ envelope: Envelope, to address: ReplyAddress) async throws {
        try await base.reply(envelope, to: address)
    }

    package func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        try await onAttach(base, queue, sink)
    }

    package func deadLetters(of group: String) -> any DeadLetterQueue { base.deadLetters(of: group) }
    package func health() -> [ComponentHealth] { base.health() }
}
