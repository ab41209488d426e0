import ArgumentParser
import EventBus
import FoundationEssentials
import TerminalText

/// Writes dead letters as JSON lines.
struct DeadExportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Writes dead letters as JSON lines, which dead import reads.",
        discussion:
            "The dead letters stay in their queue. Properties of foreign clients that are no part of an event are lost."
    )

    @OptionGroup(title: "Broker") var broker: BrokerOptions
    @OptionGroup(title: "Place") var places: DeadPlaces
    @OptionGroup(title: "Filter") var filter: LetterFilterOptions

    @Option(help: ArgumentHelp("A new file to write to, instead of standard output.", valueName: "file"))
    var output: String?

    func run() async throws {
        let filter = try filter.filter()
        let (places, broker, count) = (places, broker, Counter())
        let output = output
        try await Interruption.run { interruption in
            try await OutputFile.with(output) { descriptor in
                try await write(places, broker, filter, to: descriptor, count, interruption)
                guard !interruption.isRequested else {
                    let consequence = output.map { "; \($0) is not written" } ?? ""
                    throw CommandFailure(
                        "interrupted after \(count.value) dead letters\(consequence)",
                        status: CommandFailure.interrupted
                    )
                }
            }
        }
        StandardError.line("eventbus: \(count.value) dead letters written")
    }

    private func write(
        _ places: DeadPlaces,
        _ broker: BrokerOptions,
        _ filter: LetterFilter,
        to descriptor: Int32,
        _ count: Counter,
        _ interruption: Interruption
    ) async throws {
        try await places.with(broker) { places in
            let progress = Progress()
            defer { progress.finish() }
            for place in places {
                try await place.letters.scan { letter in
                    if interruption.isRequested { return false }
                    guard filter.includes(letter) else { return true }
                    let line = try StandardOutput.encoded(LetterLine(letter)) + [UInt8(ascii: "\n")]
                    try StandardOutput.write(Array(line), to: descriptor)
                    let written = count.increment()
                    progress.show("\(written) dead letters written")
                    return true
                }
            }
        }
    }
}
