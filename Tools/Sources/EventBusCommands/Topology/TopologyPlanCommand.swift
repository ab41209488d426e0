import ArgumentParser
import EventBusRabbit
import TerminalText

/// Says what a release changes on the broker, and what the change strands.
struct TopologyPlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Says what a release changes on the broker, and which events and consumers the change strands.",
        discussion: """
            Nothing is changed. Name the files of all services of the new release, and with --former those of the \
            release that runs now, because AMQP lists neither queues nor bindings. Ends with 1 if the change strands \
            something or cannot be made.
            """
    )

    @OptionGroup var files: TopologyFiles
    @OptionGroup var former: FormerTopologyFiles
    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let revision = try former.revision(files)
        let configuration = try broker.configuration()
        var differences: [TopologyDifference] = []
        for topology in revision.current {
            differences += try await RabbitTransport.compare(topology, on: configuration, logger: broker.logger)
        }
        let inspection = try await RabbitTransport.inspect(
            queues: revision.allQueues,
            on: configuration,
            logger: broker.logger
        )
        let changes = revision.changes(differences, inspection.queues)
        for change in changes {
            if output.json {
                try StandardOutput.json(change)
            } else {
                StandardOutput.line(change.line)
                if let remedy = change.remedy { StandardOutput.line("  → \(remedy)") }
            }
        }
        if changes.isEmpty, !output.json { StandardOutput.line("the broker has everything, and nothing else") }
        if changes.contains(where: \.strands) { throw CommandFailure.partial }
    }
}

/// The files with the topologies of an earlier release.
struct FormerTopologyFiles: ParsableArguments {
    @Option(help: ArgumentHelp("A file of the release that runs now. May be repeated.", valueName: "file"))
    var former: [String] = []

    /// Returns the topologies of both releases.
    func revision(_ files: TopologyFiles) throws -> TopologyRevision {
        TopologyRevision(
            current: try files.topologies().map(\.topology),
            former: try TopologyFiles.topologies(former).map(\.topology)
        )
    }
}
