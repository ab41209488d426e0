import ArgumentParser
import EventBusRabbit
import TerminalText

/// Measures how fast a broker takes and delivers events.
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures for a few seconds how fast the broker takes and delivers events.",
        discussion: """
            The events go straight into a queue in memory that ends with the connection, so no subscription receives \
            any, and nothing is left behind after an interrupt either. Quorum queues write to disk on several nodes, \
            and are slower. It is real load: choose a time at which the broker has room for it.
            """
    )

    @OptionGroup(title: "Broker") var broker: BrokerOptions

    @Option(help: ArgumentHelp("How long to publish, at most 60.", valueName: "seconds"))
    var duration = 5.0

    @Option(help: ArgumentHelp("The most events whose confirmation is awaited at a time.", valueName: "count"))
    var concurrency = 100

    @Option(help: ArgumentHelp("The size of a payload, at most 1 MiB.", valueName: "bytes"))
    var size = 256

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard duration > 0, duration <= 60 else { throw ValidationError("--duration takes up to 60 seconds.") }
        guard (1...1000).contains(concurrency) else { throw ValidationError("--concurrency takes 1 to 1000.") }
        guard (0...1 << 20).contains(size) else { throw ValidationError("--size takes 0 to 1048576 bytes.") }
    }

    func run() async throws {
        let test = LoadTest(
            broker: try Broker(broker),
            duration: .seconds(duration),
            concurrency: concurrency,
            size: size
        )
        let (result, isInterrupted) = try await Interruption.run { interruption in
            let result = try await test.run(interruption)
            return (result, interruption.isRequested)
        }
        if output.json {
            try StandardOutput.json(result)
        } else {
            StandardOutput.text(Self.text(result))
        }
        if isInterrupted { throw CommandFailure.interrupted }
    }

    private static func text(_ result: LoadTest.Result) -> String {
        func tenths(_ number: Double) -> String {
            let tenths = Int((number * 10).rounded())
            return "\((tenths / 10).grouped).\(tenths % 10)"
        }
        return """
            published  \(Int(result.publishedPerSecond).grouped)/s (\(result.events.counted("event")) of \(result.bytes) bytes in \
            \(tenths(result.seconds)) s)
            consumed   \(Int(result.consumedPerSecond).grouped)/s
            confirmed  p50 \(tenths(result.confirmP50)) ms, p99 \(tenths(result.confirmP99)) ms
            """
    }
}
