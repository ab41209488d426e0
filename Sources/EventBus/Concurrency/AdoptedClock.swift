/// The clock of an object that is created without one. It is the clock of the first bus that uses the object, and the real
/// time if the object is used before.
package final class AdoptedClock: Sendable {
    private let state: Locked<(clock: AnyClock, isFixed: Bool)>

    /// Creates a clock that a bus may replace before its first use.
    package init() {
        state = Locked((.continuous, false))
    }

    /// Creates a clock that no bus replaces.
    package init(_ clock: some Clock<Duration>) {
        state = Locked((AnyClock(clock), true))
    }

    /// The clock, which stays the same from now on.
    package var current: AnyClock {
        state.withLock { state in
            state.isFixed = true
            return state.clock
        }
    }

    /// Uses the clock of a bus, unless it is too late.
    package func adopt(_ clock: AnyClock) {
        state.withLock { state in
            if !state.isFixed { state = (clock, true) }
        }
    }
}
