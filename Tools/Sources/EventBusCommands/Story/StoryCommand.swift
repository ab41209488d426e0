import ArgumentParser
import EventBus
import EventBusRabbit
import Synchronization
import TerminalText

/// Tells everything with one correlation id as a timeline.
struct StoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "story",
        abstract: "Draws everything with one correlation id across all services as a timeline.",
        discussion: """
            The files have JSON lines, in any mixture: recordings of tail --json, dead letters of dead export, spans of \
            services (service, name, traceID, start, end, status, attributes) and their logs (time, level, message, \
            service, correlation-id). Other lines are skipped. With --group, the dead letters on the broker are told \
            too; without it, no broker is needed. Ends with 1 if nothing is known of it.
            """
    )

    @Argument(help: ArgumentHelp("The correlation id.", valueName: "correlation-id"))
    var correlation: String

    @Argument(help: ArgumentHelp("Files with JSON lines.", valueName: "file"))
    var files: [String] = []

    @Option(help: ArgumentHelp("A group whose dead letters are searched. May be repeated.", valueName: "group"))
    var group: [String] = []

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if files.isEmpty, group.isEmpty { throw ValidationError("Name files, or groups with --group.") }
        for problem in group.compactMap(BrokerName.problem(ofGroup:)) { throw ValidationError("--group \(problem).") }
    }

    func run() async throws {
        var records = try StoryFiles.records(of: correlation, in: files)
        if !group.isEmpty { records += try await letters() }
        let story = Story(correlationID: correlation, records: records)
        guard !story.isEmpty else { throw CommandFailure("nothing is known of \(correlation.printable)") }
        if output.json {
            for line in story.lines { try StandardOutput.json(line) }
        } else {
            StandardOutput.text("\(story.drawing)")
        }
    }

    private func letters() async throws -> [StoryRecord] {
        let (groups, correlation) = (group, correlation)
        let found = Mutex<[StoryRecord]>([])
        try await Broker(broker).withTransport(groups: groups) { transport in
            let progress = Progress()
            defer { progress.finish() }
            for group in groups {
                let read = Counter()
                try await transport.deadLetters(of: group).scan { letter in
                    let record = StoryRecord.letter(letter)
                    if record.correlationID == correlation { found.withLock { $0.append(record) } }
                    let count = read.increment()
                    progress.show("\(group): \(count.grouped) dead letters read")
                    return true
                }
            }
        }
        return found.withLock { $0 }
    }
}
