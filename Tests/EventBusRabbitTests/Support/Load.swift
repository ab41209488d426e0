import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// Publishes numbers without a pause, and knows which were confirmed and how late the latest answer came.
final class Load: Sendable {
    private struct State {
        var confirmed: Set<Int> = []
        var errors: [String: Int] = [:]
        var overdue = Duration.zero
        var next = 0
        var isStopped = false
        var lastConfirmed = ContinuousClock.now
    }

    private let state = Locked(State())

    var confirmed: Set<Int> { state.withLock { $0.confirmed } }
    var errors: [String: Int] { state.withLock { $0.errors } }
    /// By how much the latest call outlived its deadline.
    var overdue: Duration { state.withLock { $0.overdue } }
    var count: Int { state.withLock { $0.next } }
    var lastConfirmed: ContinuousClock.Instant { state.withLock { $0.lastConfirmed } }

    func stop() { state.withLock { $0.isStopped = true } }

    /// Publishes from so many tasks, until stopped.
    func run(_ bus: EventBus, topic: Topic, tasks: Int, deadline: Duration) async {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<tasks {
                group.addTask {
                    while let number = self.take() {
                        let start = ContinuousClock.now
                        do {
                            let receipt = try await bus.publish(
                                Envelope(topic: topic, payload: Array("\(number)".utf8)),
                                options: .init(deadline: deadline)
                            )
                            self.note(number, receipt.outcome == .routed ? nil : "\(receipt.outcome)")
                        } catch {
                            self.note(number, (error as? EventBusError).map { "\($0.code)" } ?? "\(error)")
                        }
                        self.note(overdue: start.duration(to: .now) - deadline)
                    }
                }
            }
        }
    }

    private func take() -> Int? {
        state.withLock { state in
            guard !state.isStopped else { return nil }
            state.next += 1
            return state.next
        }
    }

    private func note(_ number: Int, _ error: String?) {
        state.withLock { state in
            if let error {
                state.errors[error, default: 0] += 1
            } else {
                state.confirmed.insert(number)
                state.lastConfirmed = .now
            }
        }
    }

    private func note(overdue: Duration) {
        state.withLock { $0.overdue = max($0.overdue, overdue) }
    }
}

/// The numbers that handlers have seen.
final class SeenNumbers: Sendable {
    private struct State {
        var numbers: Set<Int> = []
        var count = 0
        var last = ContinuousClock.now
    }

    private let state = Locked(State())

    var all: Set<Int> { state.withLock { $0.numbers } }
    /// With repetitions.
    var count: Int { state.withLock { $0.count } }
    var last: ContinuousClock.Instant { state.withLock { $0.last } }

    func note(_ envelope: Envelope) {
        guard let number = Int(String(decoding: envelope.payload, as: UTF8.self)) else { return }
        state.withLock { state in
            state.numbers.insert(number)
            state.count += 1
            state.last = .now
        }
    }
}

/// A name that no other test uses.
func freshName(_ prefix: String = "t") -> String {
    prefix + EventID().rawValue.filter { $0 != "-" }.suffix(14)
}
