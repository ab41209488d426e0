import EventBus

/// The first level of a cache, and the tasks that wait for changes of a key.
final class FirstLevel: Sendable {
    private struct State {
        var table: FirstLevelTable
        var watchers: [ExactString: [ObjectIdentifier: Signal]] = [:]
        var coherentSince: AnyClock.Instant?
    }

    private let state: Locked<State>

    init(capacity: Int, byteCapacity: Int) {
        state = Locked(State(table: FirstLevelTable(capacity: capacity, byteCapacity: byteCapacity)))
    }

    func withTable<R: Sendable>(_ body: (inout FirstLevelTable) -> R) -> R {
        state.withLock { body(&$0.table) }
    }

    /// Changes are reported from now on. Earlier ones may have been missed.
    func becomeCoherent(at now: AnyClock.Instant) {
        state.withLock { state in
            state.table.becomeCoherent()
            state.coherentSince = now
        }
    }

    /// The time since which every change is reported, or `nil` if they are not reported.
    var coherentSince: AnyClock.Instant? {
        state.withLock { $0.table.isCoherent ? $0.coherentSince : nil }
    }

    /// Invalidates keys that may have changed on the server. No older value is served, and waiting tasks look again.
    func invalidate(_ keys: some Sequence<String>) {
        let signals = state.withLock { state in
            var signals: [Signal] = []
            for key in keys {
                state.table.invalidate(key)
                if let watchers = state.watchers.removeValue(forKey: ExactText(key)) { signals += watchers.values }
            }
            return signals
        }
        for signal in signals { signal.raise() }
    }

    /// Invalidates every value with a tag that may have been removed.
    func invalidate(tag: String) {
        state.withLock { $0.table.invalidate(tag: tag) }
    }

    /// Wakes the tasks that wait for a change of `key`.
    func wake(_ key: String) {
        let watchers = state.withLock { $0.watchers.removeValue(forKey: ExactText(key)) }
        for signal in watchers?.values ?? [:].values { signal.raise() }
    }

    /// Returns a signal that is raised by the next change of one of `keys`.
    func watch(_ keys: [String]) -> Signal {
        let signal = Signal()
        state.withLock { state in
            for key in keys { state.watchers[ExactText(key), default: [:]][ObjectIdentifier(signal)] = signal }
        }
        return signal
    }

    func unwatch(_ signal: Signal, _ keys: [String]) {
        state.withLock { state in
            for key in keys {
                state.watchers[ExactText(key)]?[ObjectIdentifier(signal)] = nil
                if state.watchers[ExactText(key)]?.isEmpty == true { state.watchers[ExactText(key)] = nil }
            }
        }
    }
}
