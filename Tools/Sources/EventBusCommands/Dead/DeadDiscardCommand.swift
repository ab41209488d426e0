import ArgumentParser
import EventBus
import TerminalText

/// Removes dead letters for good.
struct DeadDiscardCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "discard",
        abstract: "Removes dead letters for good.",
        discussion: "Without --yes they are only counted. Save them first with dead export."
    )

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup(title: "Place") var places: DeadPlaces
    @OptionGroup(title: "Filter") var filter: LetterFilterOptions
    @OptionGroup(title: "Round") var round: DeadRoundOptions
    @Flag(help: "Remove them, instead of counting them.")
    var yes = false
    @OptionGroup var output: OutputOptions

    func run() async throws {
        var round = round
        round.dryRun = round.dryRun || !yes
        let isDryRun = round.dryRun
        try await DeadRound("discarded", filter.filter(), round) {
            letters,
            limit,
            isEnough,
            isIncluded in
            guard isDryRun else { return try await letters.discard(limit: limit, until: isEnough, where: isIncluded) }
            let options = ReplayOptions(dryRun: true, limit: limit)
            return try await letters.replay(options: options, until: isEnough, where: isIncluded)
        }.run(places, broker, output)
        if !yes { StandardError.line("eventbus: nothing was removed; add --yes to remove them") }
    }
}
