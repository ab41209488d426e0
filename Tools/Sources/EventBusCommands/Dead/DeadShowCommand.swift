import ArgumentParser
import EventBus
import FoundationEssentials
import Synchronization
import TerminalText

/// Shows a dead letter with its payload.
struct DeadShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Shows a dead letter with its headers and payload."
    )

    @Argument(help: ArgumentHelp("The id of the event.", valueName: "event-id"))
    var id: String

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup(title: "Place") var places: DeadPlaces
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let id = id
        let found = Mutex<[DeadLetter]>([])
        let names = try await places.with(broker) { places in
            for place in places {
                try await place.letters.scan { letter in
                    if letter.envelope.id.rawValue == id { found.withLock { $0.append(letter) } }
                    return true
                }
            }
            return places.map(\.name)
        }
        let letters = found.withLock { $0 }
        guard !letters.isEmpty else {
            throw CommandFailure("no dead letter of \(names.joined(separator: ", ")) has the id \(id)")
        }
        for letter in letters {
            if output.json {
                try StandardOutput.json(LetterLine(letter))
            } else {
                StandardOutput.text(text(letter))
            }
        }
    }

    /// The maximum size of a value in bytes. JSON output contains longer ones.
    private static let maximumValue = 4096

    /// Returns a dead letter for people to read. Everything but its payload is cut.
    func text(_ letter: DeadLetter) -> String {
        let envelope = letter.envelope
        var rows: [(String, String)] = [
            ("event", envelope.id.rawValue),
            ("topic", envelope.topic.rawValue),
            ("queue", letter.queue),
            ("reason", letter.failure.reason.rawValue),
            ("error", letter.failure.message),
            ("error type", letter.failure.errorType),
            ("attempts", "\(letter.attempts)"),
            ("published", envelope.time.rfc3339),
            ("first failure", letter.firstFailure?.rfc3339 ?? ""),
            ("last failure", "\(letter.lastFailure.rfc3339) (\(Age.text(of: letter.lastFailure)) ago)"),
            ("source", envelope.source ?? ""),
            ("correlation", envelope.correlationID?.rawValue ?? ""),
            ("caused by", envelope.causationID?.rawValue ?? ""),
            ("partition key", envelope.partitionKey ?? ""),
            ("content type", envelope.contentType + (envelope.contentEncoding.map { ", \($0)" } ?? "")),
            ("version", "\(envelope.version)"),
        ]
        for header in envelope.headers.values.sorted(by: { $0.name < $1.name }) {
            let value = try? StandardOutput.encoded(HeaderJSON.value(header.value))
            let label = "header \(header.name.cut(toUTF8Length: 255).printable)"
            rows.append((label, String(decoding: value ?? .init(), as: UTF8.self)))
        }
        let width = rows.map(\.0.count).max() ?? 0
        let lines = rows.filter { !$0.1.isEmpty }.map { label, value in
            label + String(repeating: " ", count: width - label.count + 2)
                + value.cut(toUTF8Length: Self.maximumValue).printable
        }
        let payload = PayloadText.text(envelope.payload, isColoured: output.isColoured)
        return lines.joined(separator: "\n") + "\n\n" + payload
    }
}
