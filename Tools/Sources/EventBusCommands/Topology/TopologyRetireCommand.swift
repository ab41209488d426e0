import ArgumentParser
import EventBusRabbit
import TerminalText

/// Deletes the queues that no service needs any more.
struct TopologyRetireCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retire",
        abstract: "Unbinds and deletes the queues that an earlier release had and no service needs any more.",
        discussion: """
            Name the files of all services of the present release. A queue with consumers stays as it is. So does one \
            with events, unless --move-to names the queue of a present subscription: then it gets no new events, and \
            its events are sent there as first attempts. Retries that wait for their time are kept as unroutable: see \
            dead list --unroutable. The first interrupt ends the move after the events in hand; repeat the command to \
            continue. Ends with 1 if a queue is left.
            """
    )

    @OptionGroup var files: TopologyFiles
    @OptionGroup var former: FormerTopologyFiles

    @Option(help: ArgumentHelp("Only this queue of the earlier release. May be repeated.", valueName: "queue"))
    var queue: [String] = []

    @Option(help: ArgumentHelp("Send the events to this queue of a present subscription.", valueName: "queue"))
    var moveTo: String?

    @Flag(help: "Only say what would be done.")
    var dryRun = false

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if former.former.isEmpty {
            throw ValidationError("--former names no file; give those that the services of the earlier release wrote.")
        }
    }

    func run() async throws {
        let revision = try former.revision(files)
        let retired = revision.retired.filter { queue.isEmpty || queue.contains($0.subscription.queue) }
        if let unknown = queue.first(where: { name in !retired.contains { $0.subscription.queue == name } }) {
            throw CommandFailure(
                revision.queues.contains(unknown)
                    ? "a service still needs \(unknown)" : "no file of --former has the queue \(unknown)",
                status: ExitCode(64)
            )
        }
        let retirement = Retirement(broker: try Broker(broker), target: try target(revision), isDryRun: dryRun)
        let output = output
        let results = try await Interruption.run { interruption in
            try await retirement.checkTarget()
            var results: [Retirement.Result] = []
            for one in retired where !interruption.isRequested {
                let result = try await retirement.retire(one, interruption)
                if let failure = result.failure, result.moved == 0 { throw failure }
                if output.json {
                    try StandardOutput.json(result)
                } else {
                    StandardOutput.line(result.line)
                }
                if let failure = result.failure { throw failure }
                results.append(result)
            }
            if interruption.isRequested {
                StandardError.line("eventbus: interrupted; to continue, repeat the command")
                throw CommandFailure.interrupted
            }
            return results
        }
        if results.isEmpty, !output.json { StandardOutput.line("no queue is left over") }
        if results.contains(where: { $0.outcome == .kept }) { throw CommandFailure.partial }
    }

    private func target(_ revision: TopologyRevision) throws -> RabbitTopology.Subscription? {
        guard let moveTo else { return nil }
        guard let target = revision.current.flatMap(\.subscriptions).first(where: { $0.queue == moveTo }) else {
            throw CommandFailure(
                "--move-to takes the queue of a present subscription, and no file has \(moveTo)",
                status: ExitCode(64)
            )
        }
        return target
    }
}
