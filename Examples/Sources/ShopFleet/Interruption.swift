import ArgumentParser
import Synchronization
import UnixSignals

/// What SIGINT and SIGTERM do: the first has the work come to a good end, the second cancels it.
final class Interruption: Sendable {
    private let gentle = Mutex<(@Sendable () -> Void)?>(nil)

    private init() {}

    /// What the first signal does; until this is said it cancels the work at once.
    func onFirst(_ action: @escaping @Sendable () -> Void) {
        gentle.withLock { $0 = action }
    }

    /// Does the work, and ends with 130 if it was cancelled.
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
