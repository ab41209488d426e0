internal import EventBus

/// The time of day, which several processes have in common and the database can hold.
///
/// Where the bus runs on a manual clock, the time of day moves with it.
struct WallClock: Sendable {
    private static let manualStart = EventTime.now()

    private let read: @Sendable () -> EventTime

    /// The time of day beside `clock`.
    init(_ clock: AnyClock) {
        guard clock.isManual else {
            read = { .now() }
            return
        }
        read = { Self.manualStart + (AnyClock.Instant(offset: .zero).duration(to: clock.now)) }
    }

    /// The time of day that `read` returns.
    init(reading read: @escaping @Sendable () -> EventTime) {
        self.read = read
    }

    /// The present time. Read it inside the transaction that uses it: waiting for the transaction may take seconds.
    var now: EventTime { read() }
}

// Times come from rows that anybody may have written: no arithmetic on them may trap.
extension EventTime {
    /// The time `duration` later, rounded up to a millisecond and kept within what a time can hold.
    static func + (time: EventTime, duration: Duration) -> EventTime {
        let duration = min(max(duration, .milliseconds(Int64.min)), .milliseconds(Int64.max))
        let (seconds, attoseconds) = duration.components
        let (part, rest) = attoseconds.quotientAndRemainder(dividingBy: 1_000_000_000_000_000)
        let (length, isTooLong) = (seconds * 1000).addingReportingOverflow(part + (rest > 0 ? 1 : 0))
        let (sum, isTooFar) = time.milliseconds.addingReportingOverflow(length)
        return EventTime(milliseconds: isTooLong || isTooFar ? (seconds < 0 ? .min : .max) : sum)
    }

    /// The time `duration` earlier, kept within what a time can hold.
    static func - (time: EventTime, duration: Duration) -> EventTime {
        time + (.zero - duration)
    }

    /// The duration from `earlier` to this time, kept within what milliseconds can hold.
    func since(_ earlier: EventTime) -> Duration {
        let (difference, isTooLong) = milliseconds.subtractingReportingOverflow(earlier.milliseconds)
        return .milliseconds(isTooLong ? (milliseconds < earlier.milliseconds ? Int64.min : .max) : difference)
    }
}
