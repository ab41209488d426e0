package import EventBus

/// The time of day, which several processes share and the database can store.
///
/// If the bus uses a manual clock, the time of day advances with it.
package struct WallClock: Sendable {
    private static let manualStart = EventTime.now()

    private let read: @Sendable () -> EventTime

    /// Creates the time of day that advances with `clock`.
    package init(_ clock: AnyClock) {
        guard clock.isManual else {
            read = { .now() }
            return
        }
        read = { Self.manualStart + (AnyClock.Instant(offset: .zero).duration(to: clock.now)) }
    }

    /// Creates a clock that returns the time of day from `read`.
    package init(reading read: @escaping @Sendable () -> EventTime) {
        self.read = read
    }

    /// The current time. Read it inside the transaction that uses it, because waiting for the transaction may take
    /// seconds.
    package var now: EventTime { read() }
}

// Times come from rows that anybody may have written, so arithmetic on them must not trap.
extension EventTime {
    /// Returns the time `duration` later, rounded up to a millisecond and clamped to the valid range.
    package static func + (time: EventTime, duration: Duration) -> EventTime {
        let duration = min(max(duration, .milliseconds(Int64.min)), .milliseconds(Int64.max))
        let (seconds, attoseconds) = duration.components
        let (part, rest) = attoseconds.quotientAndRemainder(dividingBy: 1_000_000_000_000_000)
        let (length, isTooLong) = (seconds * 1000).addingReportingOverflow(part + (rest > 0 ? 1 : 0))
        let (sum, isTooFar) = time.milliseconds.addingReportingOverflow(length)
        return EventTime(milliseconds: isTooLong || isTooFar ? (seconds < 0 ? .min : .max) : sum)
    }

    /// Returns the time `duration` earlier, clamped to the valid range.
    package static func - (time: EventTime, duration: Duration) -> EventTime {
        time + (.zero - duration)
    }

    /// Returns the duration from `earlier` to this time, clamped to the range of milliseconds.
    package func since(_ earlier: EventTime) -> Duration {
        let (difference, isTooLong) = milliseconds.subtractingReportingOverflow(earlier.milliseconds)
        return .milliseconds(isTooLong ? (milliseconds < earlier.milliseconds ? Int64.min : .max) : difference)
    }
}
