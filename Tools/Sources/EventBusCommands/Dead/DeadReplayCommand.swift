import ArgumentParser
import EventBus

/// Sends dead letters back to their queues.
struct DeadReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Sends dead letters back to the queues of their subscriptions, as first attempts.",
        discussion: """
            A dead letter is removed when the broker has its new copy, so an interruption loses none and at most repeats \
            a few. The first interrupt ends the round after the events in hand.
            """
    )

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup(title: "Place") var places: DeadPlaces
    @OptionGroup(title: "Filter") var filter: LetterFilterOptions
    @OptionGroup(title: "Round") var round: DeadRoundOptions
    @OptionGroup(title: "Round") var rate: RateOption
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let options = ReplayOptions(dryRun: round.dryRun, maximumPerSecond: rate.rate)
        try await DeadRound("replayed", filter.filter(), round) {
            letters,
            limit,
            isEnough,
            isIncluded in
            var options = options
            options.limit = limit
            return try await letters.replay(options: options, until: isEnough, where: isIncluded)
        }.run(places, broker, output)
    }
}

/// The option for the speed of a round.
struct RateOption: ParsableArguments {
    @Option(help: ArgumentHelp("The most that are sent in a second.", valueName: "count"))
    var rate: Int?

    func validate() throws {
        if let rate, rate < 1 { throw ValidationError("--rate takes a number of at least 1.") }
    }
}
