import Synchronization
import TerminalText
import UnixSignals

/// The handling of SIGINT and SIGTERM in a round: the first signal ends it after the present batch, the second at once.
final class Interruption: Sendable {
    private let requested = Atomic(false)

    private init() {}

    /// A Boolean value indicating whether the round is to end.
    var isRequested: Bool { requested.load(ordering: .relaxed) }

    /// Runs the work of a command.
    static func run<Value: Sendable>(
        _ work: @escaping @Sendable (Interruption) async throws -> Value
    ) async throws -> Value {
        let interruption = Interruption()
        let task = Task { try await work(interruption) }
        let watch = Task {
            for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) {
                guard interruption.requested.exchange(true, ordering: .relaxed) else {
                    StandardError.line("eventbus: stopping after the events in hand; interrupt again to stop at once")
                    continue
                }
                task.cancel()
            }
        }
        defer { watch.cancel() }
        return try await task.value
    }
}
