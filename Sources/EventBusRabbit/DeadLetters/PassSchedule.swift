import ConnectionThread
import EventBus

/// The times of the passes over delayed events that matched no queue.
///
/// Events of services that no longer exist stay there for good. Passes over them become rare, because each takes all
/// events out of the queue for a moment.
struct PassSchedule {
    private static let firstPause = Duration.seconds(5)
    private static let longestPause = Duration.seconds(300)
    /// The number of checks in succession without events after which there are none. A pass of another service hides
    /// them for a moment.
    private static let checksWithoutEvents = 3

    /// The number of events that the last pass saw, or `nil` if it failed.
    private var known: Int? = 0
    private var pause = Self.firstPause
    private var last: MonotonicTime?
    private var emptyChecks = 0

    /// Returns a Boolean value indicating whether a pass is due while this number of events is there.
    mutating func isDue(with count: Int, at now: MonotonicTime) -> Bool {
        guard count > 0 else {
            emptyChecks += 1
            if emptyChecks >= Self.checksWithoutEvents { reset() }
            return false
        }
        emptyChecks = 0
        guard let last else { return true }
        let isGrown = known.map { count > $0 } ?? false
        return last.duration(to: now) >= (isGrown ? Self.firstPause : pause)
    }

    /// Records the end of a pass, and the number of events that it saw.
    mutating func passed(over count: Int?, at now: MonotonicTime) {
        let isFirst = last == nil
        known = count
        last = now
        pause = isFirst ? Self.firstPause : min(pause * 2, Self.longestPause)
    }

    /// Makes the next pass due as soon as events are there, because something has changed.
    mutating func reset() {
        self = PassSchedule()
    }
}
