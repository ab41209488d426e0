/// The events that one call of a handler has published and that wait until it has returned.
///
/// Tasks that the handler has started share it. It belongs to the call and not to the attempt, because middleware may call
/// the handler several times, and may itself publish after the handler has failed.
final class HeldPublishes: Sendable {
    /// The treatment of events that are published.
    enum Treatment {
        /// They are held, because the handler is running.
        case held
        /// They are published immediately, because the handler has returned.
        case immediate
        /// They are discarded, because the handler or the publish of the held events has failed.
        case discarded
    }

    private struct State {
        var treatment = Treatment.held
        var events: [HeldPublish] = []

        /// Changes the treatment and returns the events that were held.
        mutating func end(_ treatment: Treatment) -> [HeldPublish] {
            self.treatment = treatment
            defer { events = [] }
            return events
        }
    }

    private let state = Locked(State())

    /// Holds events if the handler is running. Returns their treatment.
    func hold(_ events: [HeldPublish]) -> Treatment {
        state.withLock { state in
            if state.treatment == .held { state.events.append(contentsOf: events) }
            return state.treatment
        }
    }

    /// Returns the held events. What is published afterwards is published immediately.
    func take() -> [HeldPublish] {
        state.withLock { state in state.treatment == .held ? state.end(.immediate) : [] }
    }

    /// Discards the held events and everything that is published afterwards.
    func discard() {
        // Released outside the lock.
        let discarded = state.withLock { $0.end(.discarded) }
        _ = discarded
    }
}
