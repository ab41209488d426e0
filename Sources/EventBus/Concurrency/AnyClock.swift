/// A type-erased clock, which is the only source of time for a bus and its broker.
///
/// Everything that waits in the library (retry delays, deadlines, timeouts, leases) uses such a clock, so that a test
/// can pass a manual one and a 30-second backoff takes no real time. Instants are durations since the clock was
/// wrapped.
public struct AnyClock: Clock, Sendable {
    /// An instant: the duration since the clock was wrapped.
    public struct Instant: InstantProtocol, Sendable {
        /// The duration since the clock was wrapped.
        public var offset: Duration

        package init(offset: Duration) {
            self.offset = offset
        }

        /// Returns the instant `duration` after this one. More than 126 years count as 126 years.
        public func advanced(by duration: Duration) -> Instant {
            Instant(offset: offset + duration.clampedToLongest)
        }

        /// Returns the duration from this instant to `other`.
        public func duration(to other: Instant) -> Duration {
            other.offset - offset
        }

        /// Returns a Boolean value indicating whether `lhs` is earlier than `rhs`.
        public static func < (lhs: Instant, rhs: Instant) -> Bool {
            lhs.offset < rhs.offset
        }
    }

    private let readNow: @Sendable () -> Duration
    private let sleepUntil: @Sendable (Duration, Duration?) async throws -> Void
    private let advanceTo: (@Sendable (Duration) async -> Void)?
    private let readNextSleeper: (@Sendable () -> Duration?)?
    private let addAdvanceHook: (@Sendable (@escaping @Sendable () -> Bool) -> Void)?
    private var wallClockShift: (@Sendable () -> Duration)?

    /// The smallest difference between instants that the clock can measure.
    public let minimumResolution: Duration

    /// Wraps `clock`. Its current instant becomes offset zero.
    public init<C: Clock>(_ clock: C) where C.Duration == Duration {
        if let already = clock as? AnyClock {
            self = already
            return
        }
        let start = clock.now
        self.readNow = { start.duration(to: clock.now) }
        let isManual = clock is any AdvanceableClock
        self.sleepUntil = { offset, tolerance in
            // The system's clocks trap on instants whose seconds do not fit into an `Int64`.
            let offset = isManual ? offset : min(max(offset, .zero), .longest)
            try await clock.sleep(until: start.advanced(by: offset), tolerance: tolerance)
        }
        self.minimumResolution = clock.minimumResolution
        if let manual = clock as? any AdvanceableClock {
            let manualStart = manual.offsetNow
            self.advanceTo = { offset in await manual.advance(toOffset: manualStart + offset) }
            self.readNextSleeper = { manual.nextSleeperOffset.map { $0 - manualStart } }
            self.addAdvanceHook = { manual.onAdvance($0) }
        } else {
            self.advanceTo = nil
            self.readNextSleeper = nil
            self.addAdvanceHook = nil
        }
    }

    /// The system's continuous clock, which advances while the machine sleeps.
    public static var continuous: AnyClock { AnyClock(ContinuousClock()) }

    /// The current instant.
    public var now: Instant { Instant(offset: readNow()) }

    /// Suspends until `deadline`. Throws `CancellationError` if the task is cancelled first.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        try await sleepUntil(deadline.offset, tolerance)
    }

    /// A Boolean value indicating whether the time advances only on request.
    package var isManual: Bool { advanceTo != nil }

    /// The time of the wall clock, which advances with a manual clock.
    package var wallTime: EventTime {
        var now = EventTime.now()
        if let wallClockShift { now.milliseconds += wallClockShift().inNanoseconds / 1_000_000 }
        guard isManual else { return now }
        return EventTime(milliseconds: now.milliseconds + self.now.offset.inNanoseconds / 1_000_000)
    }

    /// Returns the same clock with a wall clock that is set forward or back by what a closure returns, for tests.
    package func settingWallClock(by shift: @escaping @Sendable () -> Duration) -> AnyClock {
        var clock = self
        clock.wallClockShift = shift
        return clock
    }

    /// Advances a manual clock to `instant`. Has no effect on a real clock.
    package func advance(to instant: Instant) async {
        await advanceTo?(instant.offset)
    }

    /// The instant at which the next task that sleeps on a manual clock wakes, or `nil` if there is none or the clock
    /// is real.
    package var nextSleeper: Instant? { readNextSleeper?().map { Instant(offset: $0) } }

    /// Calls `body` after each advance of a manual clock, until it returns `false`. It does not count as a sleeper.
    package func onAdvance(_ body: @escaping @Sendable () -> Bool) {
        addAdvanceHook?(body)
    }
}
