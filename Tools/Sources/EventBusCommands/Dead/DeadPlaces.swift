import ArgumentParser
import EventBus
import EventBusRabbit
import FoundationEssentials

/// The options that name the places of dead letters.
struct DeadPlaces: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A group whose dead letters are meant. May be repeated. The default is \"groups\" of the configuration file.",
            valueName: "group"
        )
    )
    var group: [String] = []

    @Flag(help: "The delayed events that matched no queue when they were due, instead of the dead letters of groups.")
    var unroutable = false

    /// A place of dead letters.
    struct Place: Sendable {
        /// The name for people.
        var name: String
        var letters: any DeadLetterQueue
    }

    func validate() throws {
        if unroutable, !group.isEmpty { throw ValidationError("--unroutable and --group exclude each other.") }
        for problem in group.compactMap(BrokerName.problem(ofGroup:)) { throw ValidationError("--group \(problem).") }
    }

    /// Returns the groups.
    func groups(_ options: BrokerOptions) throws -> [String] {
        if unroutable { return [] }
        if !group.isEmpty { return group }
        let groups = try options.file(in: ProcessInfo.processInfo.environment)?.groups ?? []
        guard !groups.isEmpty else {
            throw CommandFailure(
                "no group is named; give --group, or \"groups\" in the configuration file, because AMQP lists no queues",
                status: ExitCode(64)
            )
        }
        return groups
    }

    /// Connects to the broker and calls `body` with the places.
    func with<Value: Sendable>(
        _ options: BrokerOptions,
        _ body: @escaping @Sendable ([Place]) async throws -> Value
    ) async throws -> Value {
        let groups = try groups(options)
        let isUnroutable = unroutable
        return try await Broker(options).withTransport(groups: groups) { transport in
            let places = groups.map { Place(name: $0, letters: transport.deadLetters(of: $0)) }
            let delays = Place(name: "the unroutable delayed events", letters: transport.unroutableDelays)
            return try await body(isUnroutable ? [delays] : places)
        }
    }
}
