import ArgumentParser
import EventBus
import Synchronization
import TerminalText

/// Lists dead letters from the oldest on.
struct DeadListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists dead letters from the oldest on."
    )

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup(title: "Place") var places: DeadPlaces
    @OptionGroup(title: "Filter") var filter: LetterFilterOptions
    @OptionGroup var output: OutputOptions

    @Option(help: ArgumentHelp("The most that are listed.", valueName: "count"))
    var limit = 50

    func validate() throws {
        if limit < 1 { throw ValidationError("--limit takes a number of at least 1.") }
    }

    func run() async throws {
        let (filter, limit) = (try filter.filter(), limit)
        let found = Mutex<[DeadLetter]>([])
        try await places.with(broker) { places in
            let progress = Progress()
            defer { progress.finish() }
            for place in places {
                try await place.letters.scan { letter in
                    guard filter.includes(letter) else { return true }
                    return found.withLock { found in
                        found.append(letter)
                        return found.count <= limit
                    }
                }
                if found.withLock({ $0.count > limit }) { break }
            }
        }
        let letters = found.withLock { $0 }
        if output.json {
            for letter in letters.prefix(limit) { try StandardOutput.json(LetterLine(letter)) }
        } else if letters.isEmpty {
            StandardOutput.line("no dead letter")
        } else {
            var table = TextTable([">age", "event", "topic", "queue", "reason", ">attempts", "error"])
            let now = EventTime.now()
            for letter in letters.prefix(limit) {
                table.add([
                    Age.text(of: letter.lastFailure, now: now), letter.envelope.id.rawValue,
                    letter.envelope.topic.rawValue, letter.queue, letter.failure.reason.rawValue,
                    "\(letter.attempts)", letter.failure.message.cut(toUTF8Length: 80),
                ])
            }
            StandardOutput.text("\(table)")
        }
        if letters.count > limit {
            StandardError.line("eventbus: there are more than \(limit); raise --limit, or count them with dead groups")
        }
    }
}
