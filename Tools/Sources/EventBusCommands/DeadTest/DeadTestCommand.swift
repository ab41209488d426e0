import ArgumentParser
import EventBus
import Synchronization
import TerminalText

/// Writes a test that replays a dead letter on the in-memory broker.
struct DeadTestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Writes a Swift test that fails for the same reason as a dead letter.",
        discussion: """
            The test replays the event on the in-memory broker, without a delay for its retries, and fails while the \
            handler gives it up. Redacted members keep their kinds: texts become "redacted", and numbers 0.
            """
    )

    @Argument(help: ArgumentHelp("The id of the event.", valueName: "event-id"))
    var id: String

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup(title: "Place") var places: DeadPlaces

    @Option(
        name: .customLong("import"),
        help: ArgumentHelp("A module of the handler. May be repeated.", valueName: "module")
    )
    var modules: [String] = []

    @Option(
        help: ArgumentHelp(
            "A statement that subscribes the handler to `bus`, such as 'Inventory().subscribe(to: bus)'. May be repeated.",
            valueName: "swift"
        )
    )
    var subscribe: [String] = []

    @Option(
        help: ArgumentHelp(
            "A member of the payload, at any depth, or a header whose value is replaced. May be repeated.",
            valueName: "name"
        )
    )
    var redact: [String] = []

    @Option(help: ArgumentHelp("A new file to write to, instead of standard output.", valueName: "file"))
    var output: String?

    func run() async throws {
        let id = id
        let found = Mutex<DeadLetter?>(nil)
        try await places.with(broker) { places in
            for place in places where found.withLock({ $0 == nil }) {
                try await place.letters.scan { letter in
                    guard letter.envelope.id.rawValue == id else { return true }
                    found.withLock { $0 = letter }
                    return false
                }
            }
        }
        guard let letter = found.withLock({ $0 }) else {
            throw CommandFailure("no dead letter has the id \(id)")
        }
        let test = GeneratedTest(letter: letter, modules: modules, subscribing: subscribe, redacted: Set(redact))
        if let problem = test.redactionProblem {
            throw CommandFailure(problem, status: CommandFailure.invalidInput)
        }
        try await OutputFile.with(output) { descriptor in
            try StandardOutput.write(Array(test.source.utf8), to: descriptor)
        }
    }
}
