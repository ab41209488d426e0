internal import EventBus

/// The time of day, which several processes have in common and the database can hold.
///
/// Where the bus runs on a manual clock, the time of day moves with it.
struct WallClock: Sendable {
    private static let manualStart = EventTime.now()

    private let clock: AnyClock

    init(_ clock: AnyClock) {
        self.clock = clock
    }

    var now: EventTime {
        clock.isManual ? Self.manualStart + (AnyClock.Instant(offset: .zero).duration(to: clock.now)) : .now()
    }
}

extension EventTime {
    /// The time `duration` later, rounded up to a millisecond.
    static func + (time: EventTime, duration: Duration) -> EventTime {
        let (seconds, attoseconds) = duration.components
        let (milliseconds, rest) = attoseconds.quotientAndRemainder(dividingBy: 1_000_000_000_000_000)
        let (total, overflow) = seconds.multipliedReportingOverflow(by: 1000)
        guard !overflow else { return EventTime(milliseconds: .max) }
        let (sum, tooLate) = time.milliseconds.addingReportingOverflow(total + milliseconds + (rest > 0 ? 1 : 0))
        return EventTime(milliseconds: tooLate ? .max : sum)
    }

    /// The time from `earlier` to this one.
    func since(_ earlier: EventTime) -> Duration {
        .milliseconds(milliseconds - earlier.milliseconds)
    }
}
