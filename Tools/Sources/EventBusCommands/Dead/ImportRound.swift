import ArgumentParser
import EventBus
import EventBusRabbit

/// The work of adding dead letters, in the order of their lines, until it fails or is interrupted.
struct ImportRound: Sendable {
    /// A dead letter and the number of its line.
    struct Line: Sendable {
        var number: Int
        var letter: DeadLetter
    }

    /// The number of dead letters that are added together. After a failure, it is unknown which of them were added.
    private static let batchSize = 100

    let lines: [Line]
    /// The numbers of dead letters that were added, by their groups.
    private(set) var added: [String: Int] = [:]
    /// The number of lines whose dead letters were all added.
    private var done = 0
    /// The lines of which only some were added, with the reason.
    private var failed: (lines: ArraySlice<Line>, added: Int, error: any Error)?

    init(lines: [Line]) {
        self.lines = lines
    }

    /// Adds the dead letters.
    mutating func run(on transport: RabbitTransport, _ interruption: Interruption) async {
        let progress = Progress()
        defer { progress.finish() }
        while done < lines.count, !interruption.isRequested {
            let group = lines[done].letter.group
            let batch = lines[done...].prefix(Self.batchSize).prefix { $0.letter.group == group }
            do {
                try await transport.deadLetters(of: group).restore(batch.map(\.letter))
            } catch {
                let count = (error as? EventBusError)?.completedCount ?? 0
                added[group, default: 0] += count
                failed = (batch, count, error)
                return
            }
            added[group, default: 0] += batch.count
            done += batch.count
            progress.show("\(group): \(done) of \(lines.count) dead letters added")
        }
    }

    /// Returns the failure of the command, or `nil` if all were added.
    func failure(in file: String) -> CommandFailure? {
        guard done < lines.count else { return nil }
        let next = lines[done].number
        let before = done > 0 ? "everything before line \(next) was added" : "nothing was added before line \(next)"
        guard let failed, let last = failed.lines.last?.number else {
            return CommandFailure(
                "interrupted; \(before); to continue: tail -n +\(next) \(file == "-" ? "FILE" : file) | eventbus dead import -",
                status: CommandFailure.interrupted
            )
        }
        guard let problem = CommandFailure(failed.error) else { return CommandFailure("\(failed.error); \(before)") }
        let doubt = problem.status == CommandFailure.interrupted ? "some may be" : "\(failed.added) were"
        return CommandFailure(
            "\(problem.message); \(before), and of the lines \(next) to \(last) \(doubt)",
            status: problem.status
        )
    }
}
