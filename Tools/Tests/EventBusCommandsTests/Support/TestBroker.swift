import EventBus
import EventBusRabbit
import Foundation
import Testing

/// The RabbitMQ of the tests, which `Scripts/brokers run` names in the environment.
enum TestBroker {
    static var url: String? { ProcessInfo.processInfo.environment["EVENTBUS_TEST_RABBITMQ_URL"] }

    /// A Boolean value indicating whether there is a broker.
    static var isThere: Bool { url != nil }

    /// Returns a word that no other test uses.
    static func freshName() -> String {
        "tool" + UUID().uuidString.lowercased().replacing("-", with: "").prefix(12)
    }

    /// Creates a virtual host, and returns its address.
    static func addVirtualHost(_ name: String) async throws -> String {
        let url = try #require(url)
        let user = try #require(url.split(separator: "/").last { $0.contains("@") }?.split(separator: ":").first)
        try await control("add_vhost", name)
        try await control("set_permissions", "-p", name, String(user), ".*", ".*", ".*")
        return url.replacing("%2F", with: name)
    }

    /// Runs `rabbitmqctl`.
    static func control(_ arguments: String...) async throws {
        let folder = try #require(ProcessInfo.processInfo.environment["EVENTBUS_TEST_BROKERS"])
        let root = #filePath.split(separator: "/").dropLast(5).joined(separator: "/")
        let process = Process()
        process.executableURL = URL(filePath: "/\(root)/Scripts/brokers")
        process.arguments = ["ctl", folder, "-q"] + arguments
        let (ends, end) = AsyncStream<Void>.makeStream()
        process.terminationHandler = { _ in end.finish() }
        try process.run()
        for await _ in ends {}
        // The test was cancelled.
        guard !process.isRunning else {
            process.terminate()
            throw CancellationError()
        }
        try #require(process.terminationStatus == 0, "rabbitmqctl \(arguments)")
    }
}

/// A group with a subscription and dead letters, and an exchange of its own.
struct Scene: Sendable {
    let group: String
    let exchange: String
    let configuration: RabbitConfiguration

    /// The queue of the subscription `orders`.
    var queue: String { "\(group).orders" }
    /// The arguments that every command needs.
    var options: [String] { ["--exchange", exchange, "--group", group] }
    /// The environment that every command needs.
    let environment: [String: String]

    /// Declares the queues.
    ///
    /// - Parameter url: The address of the virtual host, or `nil` for the one that tests share.
    init(on url: String? = nil) async throws {
        let url = try #require(url ?? TestBroker.url)
        group = TestBroker.freshName()
        exchange = "events-\(group)"
        environment = ["EVENTBUS_URL": url]
        var configuration = try RabbitConfiguration(uri: url)
        configuration.exchange = exchange
        self.configuration = configuration
        let queues = try ["orders", "renamed"].map {
            QueueSpecification(
                group: group,
                name: $0,
                patterns: [try TopicPattern(validating: "\(group).#")],
                prefetch: 16
            )
        }
        try await RabbitTransport.declareTopology(for: queues, on: configuration)
    }

    /// Returns a dead letter.
    func letter(
        _ number: Int,
        topic: String = "order.created",
        reason: Failure.Reason = .attemptsExhausted,
        error: String? = nil,
        payload: String? = nil,
        age: Int64 = 60_000
    ) throws -> DeadLetter {
        let time = EventTime(milliseconds: EventTime.now().milliseconds - age)
        return DeadLetter(
            envelope: Envelope(
                id: EventID("event-\(number)"),
                topic: try Topic(validating: topic),
                payload: Array((payload ?? #"{"order":"A-\#(number)","total":\#(number)}"#).utf8),
                time: time,
                correlationID: CorrelationID("order-\(number % 10)"),
                headers: ["tenant": number.isMultiple(of: 2) ? "acme" : "zenith"]
            ),
            group: group,
            queue: queue,
            failure: Failure(
                reason: reason,
                errorType: "Shop.StockError",
                message: error ?? "no stock for A-\(number)",
                attempt: 12
            ),
            attempts: 12,
            firstFailure: time,
            lastFailure: time
        )
    }

    /// Adds dead letters to those of the group.
    func add(_ letters: [DeadLetter]) async throws {
        let (transport, group) = (try RabbitTransport(configuration), group)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await transport.run() }
            try await transport.deadLetters(of: group).restore(letters)
            tasks.cancelAll()
        }
        try await wait(for: letters.count, in: "\(group).dead", atLeast: true)
    }

    /// Returns the number of events in a queue.
    func count(_ queue: String) async throws -> Int {
        let inspection = try await RabbitTransport.inspect(queues: [queue], on: configuration)
        return try #require(inspection.queues[0].events, "\(inspection.queues[0])")
    }

    /// Waits until a queue has this number of events.
    func wait(for count: Int, in queue: String, atLeast: Bool = false) async throws {
        let deadline = ContinuousClock.now + .seconds(20)
        var found = try await self.count(queue)
        while atLeast ? found < count : found != count {
            try #require(ContinuousClock.now < deadline, "\(queue) has \(found) events instead of \(count)")
            try await Task.sleep(for: .milliseconds(20))
            found = try await self.count(queue)
        }
    }

    /// Runs a command with the options of the scene.
    func run(
        _ arguments: String...,
        input: String = "",
        to destination: Tool.Destination = .file,
        whileRunning: (@Sendable (Tool.Running) async throws -> Void)? = nil
    ) async throws -> Tool.Outcome {
        try await Tool.run(
            arguments + options,
            environment: environment,
            input: input,
            to: destination,
            whileRunning: whileRunning
        )
    }
}
