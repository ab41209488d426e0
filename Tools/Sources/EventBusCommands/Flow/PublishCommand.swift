import ArgumentParser
import EventBus
import EventBusRabbit
import FoundationEssentials
import TerminalText

/// Publishes an event.
struct PublishCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "publish",
        abstract: "Publishes an event, and says whether a subscription received it.",
        discussion: "Ends with 1 if no subscription matches. Such an event is gone."
    )

    @Argument(help: ArgumentHelp("The topic.", valueName: "topic"))
    var topic: String

    @OptionGroup(title: "Broker") var broker: BrokerOptions

    @Option(help: ArgumentHelp("The payload.", valueName: "text"))
    var data: String = "{}"

    @Option(help: ArgumentHelp("A file with the payload, instead of --data.", valueName: "file"))
    var file: String?

    @Option(help: ArgumentHelp("The media type of the payload.", valueName: "type"))
    var contentType = "application/json"

    @Option(help: ArgumentHelp("The id of the event. The default is a new one.", valueName: "event-id"))
    var id: String?

    @Option(help: ArgumentHelp("The correlation id.", valueName: "id"))
    var correlation: String?

    @Option(help: ArgumentHelp("The partition key.", valueName: "key"))
    var key: String?

    @Option(help: ArgumentHelp("A header. May be repeated.", valueName: "name=value"))
    var header: [String] = []

    @Option(help: ArgumentHelp("How long the broker holds the event before it routes it.", valueName: "seconds"))
    var delay = 0.0

    @OptionGroup var output: OutputOptions

    /// The outcome, as a line of the output for programs.
    private struct Outcome: Encodable {
        var id: String
        var outcome: String
    }

    func validate() throws {
        let longest = TransportLimits.maximumDelay / .seconds(1)
        guard delay >= 0, delay <= longest else {
            throw ValidationError("--delay takes a number of seconds between 0 and \(longest).")
        }
        _ = try headers()
        _ = try parsedTopic()
    }

    private func parsedTopic() throws -> Topic {
        do {
            return try Topic(validating: topic)
        } catch {
            throw ValidationError("'\(topic)' is no topic: \(error.message)")
        }
    }

    private func headers() throws -> EventHeaders {
        var headers = EventHeaders()
        for text in header {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty else {
                throw ValidationError("--header takes name=value, not '\(text)'.")
            }
            headers[String(parts[0])] = .string(String(parts[1]))
        }
        return headers
    }

    func run() async throws {
        var payload = Array(data.utf8)
        if let file {
            guard let contents = try? Data(contentsOf: URL(filePath: file)) else {
                throw CommandFailure("\(file) cannot be read", status: CommandFailure.invalidInput)
            }
            payload = Array(contents)
        }
        let envelope = Envelope(
            id: id.map { EventID($0) } ?? EventID(),
            topic: try parsedTopic(),
            payload: payload,
            contentType: contentType,
            source: "eventbus-tool",
            correlationID: correlation.map { CorrelationID($0) },
            partitionKey: key,
            headers: try headers()
        )
        let (delay, timeout) = (Duration.seconds(delay), Duration.seconds(broker.timeout))
        let needs: Set<Broker.Need> = delay > .zero ? [.exchange, .delays] : [.exchange]
        let outcome = try await Broker(broker).withTransport(needs: needs) { transport in
            try await transport.publish(
                envelope,
                options: TransportPublishOptions(deadline: transport.clock.now.advanced(by: timeout), delay: delay)
            )
        }
        if output.json {
            try StandardOutput.json(Outcome(id: envelope.id.rawValue, outcome: "\(outcome)"))
        } else {
            StandardOutput.line("\(envelope.id.rawValue) \(outcome)")
        }
        if outcome == .unroutable {
            throw CommandFailure("no subscription matches \(topic.printable), so the event is gone")
        }
    }
}
