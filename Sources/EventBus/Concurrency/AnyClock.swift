/// A type-erased clock: the one source of time for a bus and its broker.
///
/// Everything that waits in the library (retry delays, deadlines, timeouts, leases) waits on such a clock, so that a
/// test can hand in a manual one and a 30-second backoff costs no real time. Instants are durations since the erased
/// clock was wrapped.
public struct AnyClock: Clock, Sendable {
    /// A point in time: the duration since the clock was wrapped.
    public struct Instant: InstantProtocol, Sendable {
        /// Time since the clock was wrapped.
        public var offset: Duration

        package init(offset: Duration) {
            self.offset = offset
        }

        /// The instant that lies `duration` after this one. More than 126 years count as 126 years.
        public func advanced(by duration: Duration) -> Instant {
            Instant(offset: offset + duration.clampedToLongest)
        }

        /// The time from this instant to `other`.
        public func duration(to other: Instant) -> Duration {
            other.offset - offset
        }

        /// Whether `lhs` is earlier than `rhs`.
        public static func < (lhs: Instant, rhs: Instant) -> Bool {
            lhs.offset < rhs.offset
        }
    }

    private let readNow: @Sendable () -> Duration
    private let sleepUntil: @Sendable (Duration, Duration?) async throws -> Void
    private let advanceTo: (@Sendable (Duration) async -> Void)?
    private let readNextSleeper: (@Sendable () -> Duration?)?
    private let addAdvanceHook: (@Sendable (@escaping @Sendable () -> Bool) -> Void)?

    /// The smallest step of time the clock can tell apart.
    public let minimumResolution: Duration

    /// Wraps `clock`; its present instant becomes offset zero.
    public init<C: Clock>(_ clock: C) where C.Duration == Duration {
        if let already = clock as? AnyClock {
            self = already
            return
        }
        let start = clock.now
        self.readNow = { start.duration(to: clock.now) }
        let isManual = clock is any AdvanceableClock
        self.sleepUntil = { offset, tolerance in
            // The system's clocks trap on instants whose seconds do not fit an `Int64`.
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

    /// The system's continuous clock, which also runs while the machine sleeps.
    public static var continuous: AnyClock { AnyClock(ContinuousClock()) }

    /// The present instant.
    public var now: Instant { Instant(offset: readNow()) }

    /// Suspends until `deadline`; throws `CancellationError` when the task is cancelled first.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        try await sleepUntil(deadline.offset, tolerance)
    }

    /// Whether time moves only when told to.
    package var isManual: Bool { advanceTo != nil }

    /// Moves a manual clock forward to `instant`; does nothing on a real one.
    package func advance(to instant: Instant) async {
        await advanceTo?(instant.offset)
    }

    /// The instant at which the first of those who sleep on a manual clock wakes; `nil` if none does, or on a real clock.
    package var nextSleeper: Instant? { readNextSleeper?().map { Instant(offset: $0) } }

    /// Calls `body` after each advance of a manual clock, until it returns `false`. It does not count as a sleeper.
    package func onAdvance(_ body: @escaping @Sendable () -> Bool) {
        addAdvanceHook?(body)
    }
}

/// A clock whose time moves only when told to.
package protocol AdvanceableClock: Sendable {
    /// Time since the clock's own zero.
    var offsetNow: Duration { get }
    /// Moves time forward and wakes every sleeper that is due.
    func advance(toOffset offset: Duration) async
    /// The deadline of the first of those who sleep, since the clock's own zero.
    var nextSleeperOffset: Duration? { get }
    /// Calls `body` after each advance, until it returns `false`.
    func onAdvance(_ body: @escaping @Sendable () -> Bool)
}
