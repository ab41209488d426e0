import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// The contract of every transport, checked with a real broker.
@Suite(.timeLimit(.minutes(3)))
struct ConformanceTests {
    static let suite = TransportConformance { name in
        let broker = try await TestBroker.shared()
        let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
        let queues = QueueNames()
        let proxy = try TestProxy(to: configuration.hosts[0].port)
        var proxied = configuration
        proxied.hosts = [.init("127.0.0.1", port: proxy.port)]
        let throughProxy = proxied
        return TransportNamespace(
            makeTransport: { RecordingTransport(try RabbitTransport(throughProxy), queues) },
            loseConnections: {
                let before = proxy.connections
                proxy.cutAll()
                try await eventually("a new connection") { proxy.connections > before }
            },
            close: {
                let names = queues.all
                try? await RabbitTransport.delete(queues: names, exchange: configuration.exchange, on: configuration)
            }
        )
    }

    @Test(arguments: suite.checks)
    func `RabbitMQ keeps the contract`(check: ConformanceCheck) async throws {
        try await check.run()
    }
}

/// The names of the queues that a check has declared.
private final class QueueNames: Sendable {
    private let names = Locked<Set<String>>([])

    var all: [String] { names.withLock { $0.sorted() } }

    func insert(_ specification: QueueSpecification) {
        guard !specification.broadcast else { return }
        names.withLock { $0.formUnion([specification.queueName, "\(specification.group).dead"]) }
    }
}

/// A transport that records which queues are requested, so that they can be removed.
private struct RecordingTransport: Transport {
    let transport: RabbitTransport
    let queues: QueueNames

    init(_ transport: RabbitTransport, _ queues: QueueNames) {
        self.transport = transport
        self.queues = queues
    }

    var name: String { transport.name }
    var clock: AnyClock { transport.clock }
    var maximumDelay: Duration { transport.maximumDelay }
    var unroutableDelays: any DeadLetterQueue { transport.unroutableDelays }

    func run() async throws { try await transport.run() }

    func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        try await transport.publish(envelope, options: options)
    }

    func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>] {
        await transport.publish(contentsOf: envelopes, options: options)
    }

    func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        try await transport.request(envelope, deadline: deadline)
    }

    func reply(_ envelope: Envelope, to address: ReplyAddress) async throws {
        try await transport.reply(envelope, to: address)
    }

    func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer {
        queues.insert(queue)
        return try await transport.attach(queue, to: sink)
    }

    func deadLetters(of group: String) -> any DeadLetterQueue { transport.deadLetters(of: group) }

    func health() -> [ComponentHealth] { transport.health() }
}
