import ArgumentParser
import Synchronization
import UnixSignals

/// The handling of SIGINT and SIGTERM: the first signal ends the work gracefully, and the second cancels it.
final class Interruption: Sendable {
    private let gentle = Mutex<(@Sendable () -> Void)?>(nil)

    private init() {}

    /// Sets the action of the first signal. Until it is set, the first signal cancels the work.
    func onFirst(_ action: @escaping @Sendable () -> Void) {
        gentle.withLock { $0 = action }
    }

    /// Runs the work, and exits with 130 if it was cancelled.
    static func run<Result: Sendable>(
        _ work: @escaping @Sendable (Interruption) async throws -> Result
    ) async throws -> Result {
        let interruption = Interruption()
        let task = Task { try await work(interruption) }
        let watch = Task {
            for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) {
                let action = interruption.gentle.withLock { action in
                    defer { action = nil }
                    return action
                }
                if let action { action() } else { task.cancel() }
            }
        }
        defer { watch.cancel() }
        do {
            return try await task.value
        } catch  where task.isCancelled {
            throw ExitCode(130)
        }
    }
}
