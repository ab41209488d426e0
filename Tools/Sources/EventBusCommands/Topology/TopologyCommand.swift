import ArgumentParser
import EventBus
import EventBusRabbit
import FoundationEssentials
import TerminalText

/// The commands for the objects that services need on a broker.
struct TopologyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topology",
        abstract:
            "Shows what services need on the broker, compares it with what is there, declares it, and removes the rest.",
        discussion: """
            A service writes the file with RabbitTopology(of: bus, with: configuration).write(to: "topology.json"). Bindings \
            are not compared, because AMQP does not list them.
            """,
        subcommands: [
            TopologyShowCommand.self, TopologyDiffCommand.self, TopologyPlanCommand.self, TopologyApplyCommand.self,
            TopologyRetireCommand.self,
        ]
    )
}

/// The files with the topologies of services.
struct TopologyFiles: ParsableArguments {
    @Argument(help: ArgumentHelp("The files that services wrote.", valueName: "file"))
    var files: [String]

    /// Reads the files.
    func topologies() throws -> [(file: String, topology: RabbitTopology)] { try Self.topologies(files) }

    /// Reads files.
    static func topologies(_ files: [String]) throws -> [(file: String, topology: RabbitTopology)] {
        try files.map { file in
            guard let data = try? Data(contentsOf: URL(filePath: file)) else {
                throw CommandFailure("\(file) cannot be read", status: CommandFailure.invalidInput)
            }
            guard let topology = try? JSONDecoder().decode(RabbitTopology.self, from: data) else {
                throw CommandFailure(
                    "\(file) is no topology; a service writes one with RabbitTopology.write(to:)",
                    status: CommandFailure.invalidInput
                )
            }
            for subscription in topology.subscriptions {
                let problems = [
                    BrokerName.problem(ofGroup: subscription.group), BrokerName.problem(ofQueue: subscription.queue),
                ]
                guard let problem = problems.compactMap(\.self).first else { continue }
                throw CommandFailure("\(file): \(problem)", status: CommandFailure.invalidInput)
            }
            return (file, topology)
        }
    }
}

/// Shows the queues of services, with their events and consumers.
struct TopologyShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Lists the queues of services, with their events and consumers."
    )

    @OptionGroup var files: TopologyFiles
    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup var output: OutputOptions

    /// A queue, as a line of the output for programs.
    private struct Line: Encodable {
        var queue: String
        var group: String
        var patterns: [String]
        var exchange: String
        var events: Int?
        var consumers: Int?
        var isMissing: Bool
    }

    func run() async throws {
        let topologies = try files.topologies().map(\.topology)
        let subscriptions = topologies.flatMap { topology in
            topology.subscriptions.map { (exchange: topology.exchange, subscription: $0) }
        }
        let groups = Set(subscriptions.map(\.subscription.group)).sorted()
        let names = subscriptions.map(\.subscription.queue) + groups.map { "\($0).dead" }
        let configuration = try broker.configuration()
        let states = try await RabbitTransport.inspect(queues: names, on: configuration, logger: broker.logger).queues
        var table = TextTable(["queue", "topics", "exchange", ">events", ">consumers"])
        for (index, state) in states.enumerated() {
            let entry = index < subscriptions.count ? subscriptions[index] : nil
            if output.json {
                try StandardOutput.json(
                    Line(
                        queue: state.name,
                        group: entry?.subscription.group ?? groups[index - subscriptions.count],
                        patterns: entry?.subscription.patterns ?? [],
                        exchange: entry?.exchange ?? "",
                        events: state.events,
                        consumers: state.consumers,
                        isMissing: state.isMissing
                    )
                )
            }
            table.add([
                state.name, entry?.subscription.patterns.joined(separator: " ") ?? "(dead letters)",
                entry?.exchange ?? "", state.isMissing ? "missing" : state.events.map { "\($0)" } ?? "unknown",
                state.consumers.map { "\($0)" } ?? "",
            ])
        }
        if !output.json { StandardOutput.text("\(table)") }
    }
}

/// Compares what services need with what the broker has.
struct TopologyDiffCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Names the exchanges and queues that are missing or different. Ends with 1 if there are any.",
        discussion: """
            Nothing is created. Existing objects are declared again as they should be, which changes nothing and needs \
            the permission to configure them.
            """
    )

    @OptionGroup var files: TopologyFiles
    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup var output: OutputOptions

    /// A difference, as a line of the output for programs.
    private struct Line: Hashable, Encodable {
        var object: String
        var isMissing: Bool
        var reason: String
    }

    func run() async throws {
        var lines: [Line] = []
        for (_, topology) in try files.topologies() {
            let differences = try await RabbitTransport.compare(
                topology,
                on: try broker.configuration(),
                logger: broker.logger
            )
            for difference in differences {
                let line = Line(object: difference.object, isMissing: difference.isMissing, reason: difference.reason)
                // Services share objects.
                if !lines.contains(line) { lines.append(line) }
            }
        }
        for line in lines {
            if output.json {
                try StandardOutput.json(line)
            } else {
                StandardOutput.line("\(line.isMissing ? "+" : "≠") \(line.object): \(line.reason)")
            }
        }
        if !lines.isEmpty { throw CommandFailure.partial }
        if !output.json { StandardOutput.line("the broker has everything") }
    }
}

/// Declares what services need.
struct TopologyApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Declares what is missing. Existing objects are not changed.",
        discussion: "Needs the permission to configure the objects, on behalf of services that do not have it."
    )

    @OptionGroup var files: TopologyFiles
    @OptionGroup(title: "Broker") var broker: BrokerOptions

    func run() async throws {
        for (file, topology) in try files.topologies() {
            var configuration = try broker.configuration()
            try topology.apply(to: &configuration)
            let specifications = try topology.specifications
            try await RabbitTransport.declareTopology(for: specifications, on: configuration, logger: broker.logger)
            StandardOutput.line("\(file): \(specifications.count) subscriptions declared")
        }
    }
}
