import ArgumentParser
import EventBus
import EventBusRabbit
import Synchronization
import TerminalText

/// Prints events while they are published.
struct TailCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail",
        abstract: "Prints events while they are published, until it is interrupted.",
        discussion: """
            It has a queue of its own, which ends with it, so no subscription loses an event. The user must be allowed \
            to declare a queue. Retries are not printed. If it is too slow, it loses the earliest of 10,000 events.
            """
    )

    @Argument(help: ArgumentHelp("The topics, such as order.created or order.#.", valueName: "pattern"))
    var patterns: [String] = ["#"]

    @OptionGroup(title: "Broker") var broker: BrokerOptions

    @Option(help: ArgumentHelp("Only events with this correlation id.", valueName: "id"))
    var correlation: String?

    @Option(help: ArgumentHelp("End after this number of events.", valueName: "count"))
    var limit: Int?

    @Flag(help: "Print the payloads too.")
    var payload = false

    @OptionGroup var output: OutputOptions

    /// The end of the requested number of events, or of those that someone reads.
    private struct Enough: Error {}

    func validate() throws {
        if let limit, limit < 1 { throw ValidationError("--limit takes a number of at least 1.") }
        _ = try parsedPatterns()
    }

    private func parsedPatterns() throws -> [TopicPattern] {
        try patterns.map { text in
            do throws(EventBusError) {
                return try TopicPattern(validating: text)
            } catch {
                throw ValidationError("'\(text)' is no pattern: \(error.message)")
            }
        }
    }

    func run() async throws {
        let patterns = try parsedPatterns()
        let configuration = try broker.configuration()
        let (correlation, limit, output, printsPayload) = (correlation, limit, output, payload)
        let logger = broker.logger
        let count = Mutex(0)
        do {
            try await RabbitTransport.observe(patterns, on: configuration, logger: logger) {
                StandardError.line("eventbus: waiting for events")
            } _: { event in
                if let correlation, event.correlationID?.rawValue != correlation { return }
                if output.json {
                    try StandardOutput.json(EventLine(event))
                } else {
                    StandardOutput.text(Self.line(event, isColoured: output.isColoured))
                    if printsPayload {
                        StandardOutput.text(PayloadText.text(event.payload, isColoured: output.isColoured))
                    }
                }
                let printed = count.withLock { count in
                    count += 1
                    return count
                }
                if printed == limit || StandardOutput.isClosed { throw Enough() }
            }
        } catch is Enough {
        }
    }

    /// Returns the line of an event. Everything that its publisher chose is cut and printable.
    static func line(_ event: Envelope, isColoured: Bool) -> String {
        func shown(_ text: String) -> String { text.cut(toUTF8Length: 400).printable }
        let topic = shown(event.topic.rawValue)
        var line = "\(event.time.rfc3339)  \(isColoured ? "\u{1B}[36m\(topic)\u{1B}[0m" : topic)  "
        line += shown(event.id.rawValue)
        if let correlation = event.correlationID { line += "  correlation \(shown(correlation.rawValue))" }
        if let source = event.source { line += "  from \(shown(source))" }
        return line
    }
}
