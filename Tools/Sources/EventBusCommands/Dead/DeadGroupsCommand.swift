import ArgumentParser
import EventBus
import Synchronization
import TerminalText

/// Counts dead letters by topic, reason and error.
struct DeadGroupsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "groups",
        abstract: "Counts dead letters by topic, reason and error.",
        discussion: "Errors that differ in numbers or identifiers only are counted together, with # in their place."
    )

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup(title: "Place") var places: DeadPlaces
    @OptionGroup(title: "Filter") var filter: LetterFilterOptions
    @OptionGroup var output: OutputOptions

    /// A line of the output for programs.
    struct Line: Encodable {
        var count: Int
        var group: String
        var topic: String
        var reason: String
        var errorType: String
        var error: String
        var oldest: String
        var newest: String
        var example: String
    }

    func run() async throws {
        let filter = try filter.filter()
        let groups = Mutex(LetterGroups())
        try await places.with(broker) { places in
            let progress = Progress()
            defer { progress.finish() }
            for place in places {
                try await place.letters.scan { letter in
                    if filter.includes(letter) { groups.withLock { $0.add(letter) } }
                    progress.show("\(groups.withLock { $0.total }) dead letters counted")
                    return true
                }
            }
        }
        try print(groups.withLock { $0 })
    }

    private func print(_ groups: LetterGroups) throws {
        var table = TextTable([">count", ">oldest", ">newest", "group", "topic", "reason", "error"])
        let now = EventTime.now()
        for (key, tally) in groups.sorted {
            if output.json {
                try StandardOutput.json(
                    Line(
                        count: tally.count,
                        group: key.group,
                        topic: key.topic,
                        reason: key.reason,
                        errorType: key.errorType,
                        error: key.error,
                        oldest: tally.oldest.rfc3339,
                        newest: tally.newest.rfc3339,
                        example: tally.example.rawValue
                    )
                )
            }
            let type = key.errorType.isEmpty ? "" : key.errorType + ": "
            table.add([
                "\(tally.count)", Age.text(of: tally.oldest, now: now), Age.text(of: tally.newest, now: now), key.group,
                key.topic, key.reason, (type + key.error).cut(toUTF8Length: 100),
            ])
        }
        if output.json { return }
        StandardOutput.text(groups.total == 0 ? "no dead letter" : "\(table)\n\(groups.total) dead letters")
    }
}
