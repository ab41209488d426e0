import ArgumentParser
import EventBus

/// Sends dead letters to another queue.
struct DeadMoveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "move",
        abstract: "Sends dead letters to another queue, as first attempts.",
        discussion: """
            For the dead letters of a subscription that has another name now. The other subscription must accept their \
            topics, because it dead-letters every other event as stale_binding.
            """
    )

    @Option(help: ArgumentHelp("The queue to send them to, such as GROUP.NAME.", valueName: "queue"))
    var to: String

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup(title: "Place") var places: DeadPlaces
    @OptionGroup(title: "Filter") var filter: LetterFilterOptions
    @OptionGroup(title: "Round") var round: DeadRoundOptions
    @OptionGroup(title: "Round") var rate: RateOption
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let problem = BrokerName.problem(ofQueue: to) { throw ValidationError("--to \(problem).") }
    }

    func run() async throws {
        let options = ReplayOptions(dryRun: round.dryRun, maximumPerSecond: rate.rate, queue: to)
        try await DeadRound("moved", filter.filter(), round) {
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
