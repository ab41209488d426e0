import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

/// A load that publishes numbers continuously, and records which were confirmed and how late the latest answer arrived.
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
    /// The time by which the latest call exceeded its deadline.
    var overdue: Duration { state.withLock { $0.overdue } }
    var count: Int { state.withLock { $0.next } }
    var lastConfirmed: ContinuousClock.Instant { state.withLock { $0.lastConfirmed } }

    /// The numbers that were passed to the bus and have no outcome yet.
    var unanswered: Set<Int> { state.withLock { $0.unanswered } }

    /// Returns the id under which a number was published.
    func id(of number: Int) -> EventID? { state.withLock { $0.ids[number] } }

    func stop() { state.withLock { $0.isStopped = true } }

    /// Publishes from several tasks until it is stopped, and slowly while too many events wait to be handled.
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
                        // Slower, but not stopped, because events that were given up never count as handled.
                        try? await eventually("fewer wait", within: .milliseconds(50)) {
                            !isTooMuch(self.confirmedCount)
                        }
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

/// The numbers that handlers have received.
final class SeenNumbers: Sendable {
    private struct State {
        var ids: [Int: Set<EventID>] = [:]
        var count = 0
        var last = ContinuousClock.now
    }

    private let state = Locked(State())

    var all: Set<Int> { state.withLock { Set($0.ids.keys) } }
    /// Returns the ids with which a number arrived.
    func ids(of number: Int) -> Set<EventID?> { state.withLock { $0.ids[number] ?? [] } }
    /// The number of events, including repetitions.
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

/// Returns a name that no other test uses.
func freshName(_ prefix: String = "t") -> String {
    prefix + EventID().rawValue.filter { $0 != "-" }.suffix(14)
}
