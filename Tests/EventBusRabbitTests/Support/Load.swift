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
        var ids: [Int: EventID] = [:]
        var unanswered: Set<Int> = []
    }

    private let state = Locked(State())

    var confirmed: Set<Int> { state.withLock { $0.confirmed } }
    var errors: [String: Int] { state.withLock { $0.errors } }
    private var confirmedCount: Int { state.withLock { $0.confirmed.count } }
    /// By how much the latest call outlived its deadline.
    var overdue: Duration { state.withLock { $0.overdue } }
    var count: Int { state.withLock { $0.next } }
    var lastConfirmed: ContinuousClock.Instant { state.withLock { $0.lastConfirmed } }

    /// What was given to the bus and has no outcome yet.
    var unanswered: Set<Int> { state.withLock { $0.unanswered } }

    /// The id under which a number was published.
    func id(of number: Int) -> EventID? { state.withLock { $0.ids[number] } }

    func stop() { state.withLock { $0.isStopped = true } }

    /// Publishes from so many tasks, until stopped; slowly while too much waits to be handled.
    func run(
        _ bus: EventBus,
        topic: Topic,
        tasks: Int,
        deadline: Duration,
        slowingDown isTooMuch: @escaping @Sendable (_ confirmed: Int) -> Bool = { _ in false }
    ) async {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<tasks {
                group.addTask {
                    while let number = self.take() {
                        // Slower, not at rest: what was given up never counts as handled.
                        if isTooMuch(self.confirmedCount) { try? await Task.sleep(for: .milliseconds(50)) }
                        let start = ContinuousClock.now
                        let envelope = Envelope(topic: topic, payload: Array("\(number)".utf8))
                        self.note(number, envelope.id)
                        do {
                            let receipt = try await bus.publish(envelope, options: .init(deadline: deadline))
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

    private func note(_ number: Int, _ id: EventID) {
        state.withLock { state in
            state.ids[number] = id
            state.unanswered.insert(number)
        }
    }

    private func note(_ number: Int, _ error: String?) {
        state.withLock { state in
            state.unanswered.remove(number)
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
        var ids: [Int: Set<EventID>] = [:]
        var count = 0
        var last = ContinuousClock.now
    }

    private let state = Locked(State())

    var all: Set<Int> { state.withLock { Set($0.ids.keys) } }
    /// The ids under which a number came.
    func ids(of number: Int) -> Set<EventID?> { state.withLock { $0.ids[number] ?? [] } }
    /// With repetitions.
    var count: Int { state.withLock { $0.count } }
    var last: ContinuousClock.Instant { state.withLock { $0.last } }

    func note(_ envelope: Envelope) {
        guard let number = Int(String(decoding: envelope.payload, as: UTF8.self)) else { return }
        state.withLock { state in
            state.ids[number, default: []].insert(envelope.id)
            state.count += 1
            state.last = .now
        }
    }
}

/// A name that no other test uses.
func freshName(_ prefix: String = "t") -> String {
    prefix + EventID().rawValue.filter { $0 != "-" }.suffix(14)
}
