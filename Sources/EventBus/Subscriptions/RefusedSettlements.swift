/// The deliveries of a subscription that wait because the transport refuses their settlement, for health reports.
final class RefusedSettlements: Sendable {
    private struct State {
        var count = 0
        var error = ""
    }

    private let state = Locked(State())

    /// Adds a delivery. Call ``remove()`` afterwards.
    func add() {
        state.withLock { $0.count += 1 }
    }

    /// Records the latest error.
    func note(_ error: any Error) {
        let text = String(loggable: error)
        state.withLock { $0.error = text }
    }

    /// Removes a delivery that is settled or redelivered.
    func remove() {
        state.withLock { $0.count -= 1 }
    }

    /// A description of the refusals, or `nil` if no delivery waits.
    var reason: String? {
        state.withLock { $0.count == 0 ? nil : "\($0.count) deliveries cannot be settled: \($0.error)" }
    }
}
