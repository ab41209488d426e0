import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

/// A group with dead letters, whose tools are connected through a proxy and have limits of their own.
struct LetterScene: Sendable {
    let name = freshName()
    let transport: RabbitTransport
    let proxy: TestProxy
    private let configuration: RabbitConfiguration
    private let proxied: RabbitConfiguration

    var group: String { "group-\(name)" }
    /// The queue that replayed events are sent to, which nobody consumes.
    var queue: String { "\(group).probe" }

    init() async throws {
        let name = name
        let configuration = try await TestBroker.shared().configuration { $0.exchange = "events-\(name)" }
        proxy = try TestProxy(to: configuration.hosts[0].port)
        var proxied = configuration
        proxied.hosts = [.init("127.0.0.1", port: proxy.port)]
        self.configuration = configuration
        self.proxied = proxied
        transport = try RabbitTransport(configuration)
        let pattern = try TopicPattern(validating: "\(name).probe")
        try await RabbitTransport.declareTopology(
            for: [QueueSpecification(group: "group-\(name)", name: "probe", patterns: [pattern], prefetch: 16)],
            on: configuration
        )
    }

    /// Returns the dead letters with limits for a test. Their connection passes through the proxy.
    func letters(_ limits: LetterReaderLimits = LetterReaderLimits()) -> RabbitDeadLetterQueue {
        let core = transport.core
        let tools = DeadLetterTools(
            configuration: proxied,
            managers: core.managers,
            publisher: core.republishes,
            watch: core.watch,
            logger: core.logger
        )
        return RabbitDeadLetterQueue(group: group, tools: tools, limits: limits)
    }

    /// Runs `body` with the transport and this number of dead letters, which contain their numbers.
    @discardableResult
    func running<Value: Sendable>(
        with count: Int,
        _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let topic = try Topic(validating: "\(name).probe")
        let time = EventTime.now()
        let letters = (0..<count).map { number in
            DeadLetter(
                envelope: Envelope(topic: topic, payload: Array("\(number)".utf8)),
                group: group,
                queue: queue,
                failure: Failure(reason: .attemptsExhausted, errorType: "E", message: "m", attempt: 1),
                attempts: 1,
                firstFailure: time,
                lastFailure: time
            )
        }
        let (transport, name) = (transport, group)
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await transport.run() }
            try await transport.deadLetters(of: name).restore(letters)
            try await wait(for: count, in: "\(name).dead")
            let value = try await body()
            tasks.cancelAll()
            while (try? await tasks.next()) != nil {}
            return value
        }
    }

    /// Waits until a queue contains this number of events, or more.
    func wait(for count: Int, in queue: String, orMore: Bool = false) async throws {
        let configuration = configuration
        let last = Locked(0)
        do {
            try await eventually("\(count) events in \(queue)", within: .seconds(20)) {
                let found = try await RawClient.count(queue: queue, configuration) ?? 0
                last.withLock { $0 = found }
                return orMore ? found >= count : found == count
            }
        } catch {
            Issue.record("\(queue) has \(last.withLock { $0 }) events instead of \(count)")
            throw error
        }
    }

    /// Checks that this number of dead letters was taken out of `total`, and the others are left.
    func expect(taken count: Int, of total: Int, replayed: Bool = true) async throws {
        try await wait(for: total - count, in: "\(group).dead")
        try await wait(for: replayed ? count : 0, in: queue)
    }

    /// Returns a Boolean value indicating whether the number of a letter is even.
    static func isEven(_ letter: DeadLetter) -> Bool { letter.envelope.payload.last.map { $0 % 2 == 0 } ?? false }
}
