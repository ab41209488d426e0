import ArgumentParser
import EventBus
import EventBusInMemory
import EventBusRabbit
import EventBusRedis
import Logging
import ShopData
import TerminalText
import UnixSignals

/// The command line of the shop.
@main
struct ShopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "Shop",
        abstract: "Runs a whole shop on the event bus: orders, inventory and notifications in one process.",
        discussion: """
            Places the orders, waits until every one has an outcome, and compares the books of the three services. \
            Ends with 0 if they agree, with 1 if an order, a piece of stock or a notification is missing or too many, \
            and with 130 if it was interrupted.
            """
    )

    @Option(
        help: ArgumentHelp("Orders to place, one JSON object a line; 1,000 samples if left out.", valueName: "file")
    )
    var orders: String?

    @Option(help: ArgumentHelp("Opening stock, one JSON object a line; a sample if left out.", valueName: "file"))
    var stock: String?

    @Option(
        help: ArgumentHelp(
            "Have the broker lose connections and confirms, duplicate, reorder and delay events, and crash handlers.",
            valueName: "seed"
        )
    )
    var faults: UInt64?

    @Option(help: "What carries the events: inmemory or rabbitmq.")
    var transport = TransportKind.inMemory

    @Option(
        help: ArgumentHelp(
            "Where RabbitMQ is, such as amqp://user:password@host/vhost; the shop wants the virtual host for itself.",
            valueName: "uri"
        )
    )
    var url: String?

    @Option(
        help: ArgumentHelp(
            "Where Redis is, for lock, cache and inboxes, such as redis://127.0.0.1:6379; in this process if left out.",
            valueName: "uri"
        )
    )
    var redis: String?

    /// The transport of the events.
    enum TransportKind: String, CaseIterable, ExpressibleByArgument {
        case inMemory = "inmemory"
        case rabbitMQ = "rabbitmq"
    }

    @Option(help: ArgumentHelp("Where to write the figures as JSON.", valueName: "file"))
    var report: String?

    @Option(help: ArgumentHelp("Where to write what customers are told, a line each.", valueName: "file"))
    var notices: String?

    @Flag(help: "Log what the buses do on standard error.")
    var verbose = false

    func validate() throws {
        if (orders == nil) != (stock == nil) {
            throw ValidationError("Give --orders and --stock together: the samples know no other's products.")
        }
        if (transport == .rabbitMQ) != (url != nil) {
            throw ValidationError("Give --url together with --transport rabbitmq.")
        }
        if transport == .rabbitMQ && faults != nil {
            throw ValidationError("--faults is for the broker in memory; stop and start RabbitMQ instead.")
        }
    }

    func run() async throws {
        let input = try ShopInput(ordersFile: orders, stockFile: stock)
        for problem in input.problems { StandardError.line(problem) }
        let display = ProgressDisplay()
        let run = try ShopRun(
            input: input,
            broker: try broker(),
            coordination: try coordination(),
            notices: try notices.map(NotificationFile.init(path:)),
            logger: logger
        )
        let outcome = try await run.run(gracefulShutdownSignals: [.sigint, .sigterm], reporting: display)
        display.clear()
        print(SummaryTable(outcome, problems: input.problems.count))
        try writeReport(outcome.report)
        try conclude(outcome)
    }

    private func coordination() throws -> Coordination? {
        guard let redis else { return nil }
        return try .redis(RedisConfiguration(uri: redis), logger: logger)
    }

    private func broker() throws -> BrokerKind {
        if let url { return .rabbitMQ(try RabbitConfiguration(uri: url)) }
        return .inMemory(InMemoryBroker(faults: faults.map { FaultPlan(seed: $0) }))
    }

    private func writeReport(_ report: ShopReport) throws {
        guard let file = self.report else { return }
        try JSONFile.write(report, to: file)
    }

    private func conclude(_ outcome: ShopRun.Outcome) throws {
        for letter in outcome.deadLetters.prefix(10) {
            let failure = letter.failure
            StandardError.line(
                "dead letter: \(letter.envelope.id) of \(letter.queue), \(failure.reason): \(failure.message)"
            )
        }
        let violations = outcome.audit.violations
        for violation in violations { StandardError.line("broken: \(violation)") }
        guard violations.isEmpty else {
            if let faults { StandardError.line("to see it again: --faults \(faults)") }
            throw ExitCode.failure
        }
        if outcome.isInterrupted {
            print("Interrupted: the orders that were placed were seen through, and the books agree.")
            throw ExitCode(130)
        }
        print("Every order has one outcome and one notification, and the books agree.")
    }

    private var logger: Logger {
        guard verbose else { return Logger(label: "shop") { _ in SwiftLogNoOpLogHandler() } }
        var logger = Logger(label: "shop") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .debug
        return logger
    }
}
