import ArgumentParser
import EventBus
import FoundationEssentials
import Synchronization
import TerminalText

/// The options of a round through dead letters that changes them.
struct DeadRoundOptions: ParsableArguments {
    @Flag(help: "All dead letters. Needed if there is no filter.")
    var all = false

    @Flag(help: "Only count what would be done.")
    var dryRun = false

    @Option(
        help: ArgumentHelp(
            "The most that are taken, from the oldest on. Those after them are not read.",
            valueName: "count"
        )
    )
    var limit: Int?

    func validate() throws {
        if let limit, limit < 1 { throw ValidationError("--limit takes a number of at least 1.") }
    }
}

/// A round through dead letters that changes them, place by place, until it is interrupted.
struct DeadRound: Sendable {
    /// Changes the oldest dead letters of a place that a predicate selects, at most as many as the limit and until it is
    /// enough, and returns their number.
    typealias Change =
        @Sendable (
            _ letters: any DeadLetterQueue,
            _ limit: Int,
            _ isEnough: @escaping @Sendable () -> Bool,
            _ isIncluded: @escaping @Sendable (DeadLetter) -> Bool
        ) async throws -> Int

    /// The past participle of the change, such as `replayed`.
    var change: String
    var filter: LetterFilter
    var limit: Int?
    var isDryRun: Bool
    /// A closure that makes the change.
    var perform: Change

    /// The outcome for one place, as a line of the output for programs.
    private struct Outcome: Encodable, Sendable {
        var place: String
        var read: Int
        var changed: Int
        var dryRun: Bool
        var interrupted: Bool
        var problem: String?
        /// The exit code for the problem.
        var status: ExitCode?

        private enum CodingKeys: String, CodingKey {
            case place, read, changed, dryRun, interrupted, problem
        }
    }

    private struct Counts {
        var read = 0
        var selected = 0
    }

    init(
        _ change: String,
        _ filter: LetterFilter,
        _ options: DeadRoundOptions,
        perform: @escaping Change
    ) throws {
        guard options.all || !filter.isEmpty else {
            throw CommandFailure("name the dead letters with a filter, or give --all", status: ExitCode(64))
        }
        self.change = change
        self.filter = filter
        self.limit = options.limit
        self.isDryRun = options.dryRun
        self.perform = perform
    }

    /// Makes the round and prints its outcome.
    ///
    /// - Throws: `ExitCode` if it was interrupted or not all could be changed.
    func run(_ places: DeadPlaces, _ broker: BrokerOptions, _ output: OutputOptions) async throws {
        let start = EventTime.now()
        let (outcomes, isInterrupted) = try await Interruption.run { interruption in
            try await places.with(broker) { places in
                var outcomes: [Outcome] = []
                var left = limit ?? .max
                for place in places where left > 0 && !interruption.isRequested {
                    let outcome = try await change(place, limit: left, interruption)
                    // At once, because an error of the next place ends the round.
                    try report(outcome, output)
                    outcomes.append(outcome)
                    let endings = [CommandFailure.unavailable, CommandFailure.noAnswer]
                    if let status = outcome.status, endings.contains(status) { break }
                    left -= outcome.changed
                }
                // Also before the first place, or between two.
                let isCut = interruption.isRequested && left > 0 && outcomes.count < places.count
                return (outcomes, isCut || outcomes.contains(where: \.interrupted))
            }
        }
        if isInterrupted {
            StandardError.line(
                "eventbus: interrupted; to continue, repeat the command, with --before \(start.rfc3339) to leave out "
                    + "events that have failed again since"
            )
            throw CommandFailure.interrupted
        }
        let problems = outcomes.compactMap(\.status)
        // What needs a person counts more than what may pass.
        for status in [CommandFailure.refused, CommandFailure.unavailable, CommandFailure.noAnswer]
        where problems.contains(status) {
            throw status
        }
        if let status = problems.first { throw status }
    }

    private func report(_ outcome: Outcome, _ output: OutputOptions) throws {
        if output.json {
            try StandardOutput.json(outcome)
        } else {
            let verb = isDryRun ? "would be \(change)" : change
            StandardOutput.line("\(outcome.place): \(outcome.changed) of \(outcome.read) dead letters \(verb)")
        }
        if let problem = outcome.problem { StandardError.line("eventbus: \(problem)") }
    }

    private func change(_ place: DeadPlaces.Place, limit: Int, _ interruption: Interruption) async throws -> Outcome {
        let counts = Counted()
        let progress = Progress()
        defer { progress.finish() }
        let (filter, change) = (filter, change)
        var outcome = Outcome(place: place.name, read: 0, changed: 0, dryRun: isDryRun, interrupted: false)
        do {
            outcome.changed = try await perform(place.letters, limit) {
                interruption.isRequested
            } _: { letter in
                let isIncluded = filter.includes(letter)
                let now = counts.values.withLock { counts in
                    counts.read += 1
                    if isIncluded { counts.selected += 1 }
                    return counts
                }
                progress.show("\(place.name): \(now.read) read, \(now.selected) to be \(change)")
                return isIncluded
            }
        } catch let error as EventBusError where Self.isReached(error) {
            // The message says how many were changed, and which were not.
            outcome.changed = error.completedCount ?? 0
            outcome.problem = error.message
            outcome.status = Self.status(of: error)
        } catch let error as CancellationError {
            let selected = counts.values.withLock { $0.selected }
            progress.finish()
            StandardError.line(
                "eventbus: \(place.name): stopped at once; up to \(selected.counted("dead letter")) may be \(change)"
            )
            throw error
        }
        outcome.read = counts.values.withLock { $0.read }
        outcome.interrupted = interruption.isRequested
        return outcome
    }

    /// Returns a Boolean value indicating whether an error left an outcome to report.
    private static func isReached(_ error: EventBusError) -> Bool {
        (error.code != .unavailable && error.code != .timedOut) || error.completedCount ?? 0 > 0
    }

    private static func status(of error: EventBusError) -> ExitCode {
        let status = CommandFailure.status(of: error.code)
        // Others are about single dead letters.
        let isOfRound = [CommandFailure.refused, CommandFailure.unavailable].contains(status)
        return isOfRound || error.code == .timedOut ? status : CommandFailure.partial
    }

    /// The counts of one place.
    private final class Counted: Sendable {
        let values = Mutex(Counts())
    }
}
