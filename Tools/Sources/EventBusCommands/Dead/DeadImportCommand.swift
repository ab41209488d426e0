import ArgumentParser
import EventBus
import EventBusRabbit
import FoundationEssentials
import Glibc
import TerminalText

/// Adds exported dead letters to the dead letters of their groups.
struct DeadImportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Adds exported dead letters to those of their groups, from where they can be replayed.",
        discussion: "The whole file is checked first, so nothing is added if a line is invalid."
    )

    @Argument(help: ArgumentHelp("The file with JSON lines, or - for standard input.", valueName: "file"))
    var file: String

    @OptionGroup(title: "Broker") var broker: BrokerOptions

    @Option(help: ArgumentHelp("The group to add them to, instead of that of each line.", valueName: "group"))
    var group: String?

    @Flag(help: "Only check the file and count its lines.")
    var dryRun = false

    @OptionGroup var output: OutputOptions

    /// The outcome for a group, as a line of the output for programs.
    private struct Outcome: Encodable {
        var group: String
        var added: Int
        var dryRun: Bool
    }

    /// The number of dead letters that are added together.
    private static let batchSize = 500

    func run() async throws {
        let byGroup = Dictionary(grouping: try letters(), by: \.group)
        let groups = byGroup.keys.sorted()
        if !dryRun {
            try await Broker(broker).withTransport(groups: groups) { transport in
                let progress = Progress()
                defer { progress.finish() }
                for group in groups {
                    let letters = byGroup[group] ?? []
                    for start in stride(from: 0, to: letters.count, by: Self.batchSize) {
                        let batch = letters[start..<min(start + Self.batchSize, letters.count)]
                        do {
                            try await transport.deadLetters(of: group).restore(Array(batch))
                        } catch let error as EventBusError {
                            throw EventBusError(
                                error.code,
                                "\(group): \(start) dead letters were added, then: \(error.message)"
                            )
                        }
                        progress.show("\(group): \(start + batch.count) of \(letters.count) dead letters added")
                    }
                }
            }
        }
        for group in groups {
            let outcome = Outcome(group: group, added: byGroup[group]?.count ?? 0, dryRun: dryRun)
            if output.json {
                try StandardOutput.json(outcome)
            } else {
                let verb = dryRun ? "would be added" : "added"
                StandardOutput.line("\(group): \(outcome.added) dead letters \(verb)".printable)
            }
        }
    }

    private func letters() throws -> [DeadLetter] {
        func invalid(_ reason: String) -> CommandFailure {
            CommandFailure("\(file): \(reason)", status: CommandFailure.invalidInput)
        }
        guard let data = file == "-" ? Self.standardInput() : try? Data(contentsOf: URL(filePath: file)) else {
            throw invalid("it cannot be read")
        }
        let decoder = JSONDecoder()
        var letters: [DeadLetter] = []
        let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (number, line) in zip(1..., lines) where !line.isEmpty {
            do {
                var letter = try decoder.decode(LetterLine.self, from: Data(line)).letter()
                if let group { letter.group = group }
                guard !letter.group.isEmpty else { throw invalid("line \(number): it names no group; give --group") }
                letters.append(letter)
            } catch let failure as CommandFailure {
                throw failure.message.hasPrefix(file) ? failure : invalid("line \(number): \(failure.message)")
            } catch {
                throw invalid("line \(number): it is no dead letter in JSON")
            }
        }
        return letters
    }

    private static func standardInput() -> Data? {
        var data = Data()
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            if count == 0 { return data }
            guard count > 0 else { return nil }
            data.append(contentsOf: buffer[..<count])
        }
    }
}
