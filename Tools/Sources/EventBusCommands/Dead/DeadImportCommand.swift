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
        discussion: """
            The whole file is checked first, so nothing is added if a line is invalid. The first interrupt ends it after \
            the lines in hand, and it says from which line to continue.
            """
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
        var left: Int
        var dryRun: Bool
    }

    func validate() throws {
        if let problem = group.flatMap(BrokerName.problem(ofGroup:)) { throw ValidationError("--group \(problem).") }
    }

    func run() async throws {
        let lines = try lines()
        var round = ImportRound(lines: lines)
        if !dryRun {
            let groups = Set(lines.map(\.letter.group)).sorted()
            let (broker, start) = (try Broker(broker), round)
            round = try await Interruption.run { interruption in
                try await broker.withTransport(groups: groups) { transport in
                    var round = start
                    await round.run(on: transport, interruption)
                    return round
                }
            }
        }
        for (group, total) in Dictionary(grouping: lines, by: \.letter.group).mapValues(\.count).sorted(by: <) {
            let added = dryRun ? total : round.added[group] ?? 0
            if output.json {
                try StandardOutput.json(Outcome(group: group, added: added, left: total - added, dryRun: dryRun))
            } else {
                let count = added == total ? "\(total)" : "\(added) of \(total)"
                StandardOutput.line("\(group): \(count) dead letters \(dryRun ? "would be added" : "added")")
            }
        }
        if !dryRun, let failure = round.failure(in: file) { throw failure }
    }

    private func lines() throws -> [ImportRound.Line] {
        func invalid(_ reason: String) -> CommandFailure {
            CommandFailure("\(file): \(reason)", status: CommandFailure.invalidInput)
        }
        guard let data = file == "-" ? Self.standardInput() : try? Data(contentsOf: URL(filePath: file)) else {
            throw invalid("it cannot be read")
        }
        let decoder = JSONDecoder()
        var letters: [ImportRound.Line] = []
        let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (number, line) in zip(1..., lines) where !line.isEmpty {
            do {
                var letter = try decoder.decode(LetterLine.self, from: Data(line)).letter()
                if let group { letter.group = group }
                if let problem = BrokerName.problem(ofGroup: letter.group) {
                    throw CommandFailure("\(problem); give --group")
                }
                try RabbitTransport.checkRestorable(letter, exchange: broker.exchange ?? "events")
                letters.append(ImportRound.Line(number: number, letter: letter))
            } catch let failure as CommandFailure {
                throw invalid("line \(number): \(failure.message)")
            } catch let error as EventBusError {
                throw invalid("line \(number): \(error.message)")
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
