import ArgumentParser
import Fleet
import Foundation
import ShopData
import TerminalText

/// The command line of the distributed shop.
@main
struct ShopFleetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ShopFleet",
        abstract: "Runs the shop as it is deployed: three services as processes, RabbitMQ and Redis between them.",
        discussion: """
            Starts everything on free ports of this machine, places the orders over HTTP, waits until every one has an \
            outcome and a notification, compares the databases of the three services, tells one order's whole story, \
            and stops everything. Ends with 0 if the books agree, with 1 if not, and with 130 if it was interrupted.
            """
    )

    @Option(
        help: ArgumentHelp("Orders to place, one JSON object a line; 1,000 samples if left out.", valueName: "file")
    )
    var orders: String?

    @Option(help: ArgumentHelp("Opening stock, one JSON object a line; a sample if left out.", valueName: "file"))
    var stock: String?

    @Option(help: ArgumentHelp("Orders a second; if left out as many as can be.", valueName: "number"))
    var rate: Double?

    @Option(help: ArgumentHelp("Orders that are placed at the same time.", valueName: "number"))
    var concurrency = 16

    @Option(
        help: ArgumentHelp(
            "Inventory services that share one database; with --postgres, services of each kind.",
            valueName: "number"
        )
    )
    var replicas = 2

    @Flag(help: "Keep the data of the services in PostgreSQL instead of SQLite.")
    var postgres = false

    @Option(
        help: ArgumentHelp(
            "Kill every service and server with -9 and start it again, twice, at moments drawn from the seed.",
            valueName: "seed"
        )
    )
    var chaos: UInt64?

    @Flag(help: "Stop every service with SIGTERM and start it again, one process after another.")
    var rolling = false

    @Option(help: ArgumentHelp("Stop RabbitMQ for so long meanwhile.", valueName: "seconds"))
    var stopRabbitmq: Int?

    @Option(help: ArgumentHelp("The order whose story is told; the most interesting if left out.", valueName: "order"))
    var story: String?

    @Option(
        help: ArgumentHelp("Keep databases, mail, logs and spans in this directory, which is made.", valueName: "dir")
    )
    var keep: String?

    @Option(help: ArgumentHelp("Where to write the figures as JSON.", valueName: "file"))
    var report: String?

    func validate() throws {
        if (orders == nil) != (stock == nil) {
            throw ValidationError("Give --orders and --stock together: the samples know no other's products.")
        }
        if [chaos != nil, rolling, stopRabbitmq != nil].count(where: { $0 }) > 1 {
            throw ValidationError("Give one of --chaos, --rolling and --stop-rabbitmq.")
        }
        if rate.map({ $0 <= 0 || !$0.isFinite }) ?? false { throw ValidationError("--rate has to be above 0.") }
        if !(1...1_000).contains(concurrency) { throw ValidationError("--concurrency can be 1 to 1000.") }
        if !(1...16).contains(replicas) { throw ValidationError("--replicas can be 1 to 16.") }
        if stopRabbitmq.map({ !(1...3_600).contains($0) }) ?? false {
            throw ValidationError("--stop-rabbitmq can be 1 to 3600 seconds.")
        }
    }

    func run() async throws {
        let input = try ShopInput(ordersFile: orders, stockFile: stock)
        for problem in input.problems { StandardError.line(problem) }
        let display = ProgressDisplay()
        let outcome = try await Interruption.run { interruption in
            try await Workplace.with(directory: keep) { directory in
                try await runFleet(input, directory: directory, display: display, interruption)
            } isGood: { outcome in
                outcome.audit.violations.isEmpty
            }
        }
        display.clear()
        if let story = try story(of: outcome) { print(StoryDrawing(story)) }
        print(SummaryTable(outcome, problems: input.problems.count))
        if let report { try JSONFile.write(outcome.report, to: report) }
        try conclude(outcome)
    }

    private func runFleet(
        _ input: ShopInput,
        directory: String,
        display: ProgressDisplay,
        _ interruption: Interruption
    ) async throws -> FleetRun.Outcome {
        let servers = postgres ? "RabbitMQ, Redis, PostgreSQL" : "RabbitMQ, Redis"
        StandardError.line("starting \(servers) and the services; their files are in \(directory)")
        let fleet = Fleet.Configuration(
            places: try FleetPaths(),
            directory: directory,
            replicas: replicas,
            usesPostgres: postgres,
            connections: concurrency
        )
        return try await Fleet.withFleet(fleet) { fleet -> FleetRun.Outcome in
            let run = FleetRun(
                fleet: fleet,
                input: input,
                disturbance: disturbance,
                rate: rate,
                concurrency: concurrency,
                reporting: display
            )
            interruption.onFirst { run.close() }
            return try await run.run()
        }
    }

    private var disturbance: Disturbance {
        if let chaos { return .chaos(seed: chaos, strikes: 2) }
        if rolling { return .rolling }
        if let stopRabbitmq { return .rabbitMQStop(.seconds(stopRabbitmq)) }
        return .none
    }

    private func story(of outcome: FleetRun.Outcome) throws -> Story? {
        guard let story else { return outcome.stories.mostInteresting }
        if let told = outcome.stories[story] { return told }
        StandardError.line("nothing is known of an order \(story)")
        return nil
    }

    private func conclude(_ outcome: FleetRun.Outcome) throws {
        let violations = outcome.audit.violations
        for violation in violations { StandardError.line("broken: \(violation)") }
        guard violations.isEmpty else {
            if let chaos { StandardError.line("for the same kills again: --chaos \(chaos)") }
            throw ExitCode.failure
        }
        if outcome.isInterrupted {
            print("Interrupted: the orders that were placed were seen through, and the books agree.")
            throw ExitCode(130)
        }
        print("Every order has one outcome and one notification, and the books of the three services agree.")
    }
}
