import EventBus

/// A clock whose time stands still until a test moves it.
///
/// ```swift
/// let clock = ManualClock()
/// let broker = InMemoryBroker(clock: clock)
/// …
/// try await clock.sleepers(atLeast: 1)
/// clock.advance(by: .seconds(30))
/// ```
///
/// Copies of it share one time.
public struct ManualClock: Clock {
    /// A point of a manual clock's time: the duration since the clock was made.
    public struct Instant: InstantProtocol, Sendable {
        /// Time since the clock was made.
        public var offset: Duration

        /// The instant `offset` after the clock was made.
        public init(offset: Duration = .zero) {
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

    private let registry = SleeperRegistry()

    /// A clock at offset zero.
    public init() {}

    /// The present instant; it changes by ``advance(to:)`` only.
    public var now: Instant { Instant(offset: registry.now) }

    /// Any two instants can be told apart.
    public var minimumResolution: Duration { Duration(secondsComponent: 0, attosecondsComponent: 1) }

    /// How many tasks sleep.
    public var sleeperCount: Int { registry.count }

    /// Suspends until the clock is moved to `deadline` or beyond; `tolerance` is of no meaning here.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        try await registry.sleep(until: deadline.offset)
    }

    /// Moves time forward by `duration` and wakes who is due, in the order of their deadlines.
    ///
    /// Who is due has been resumed when the call returns, but need not have run yet. What falls asleep for an instant
    /// already reached does not sleep.
    public func advance(by duration: Duration) {
        registry.advance { $0 + duration.clampedToLongest }
    }

    /// Moves time forward to `instant`, as ``advance(by:)`` does; an instant of the past changes nothing.
    public func advance(to instant: Instant) {
        registry.advance { _ in instant.offset }
    }

    /// Waits until at least `count` tasks sleep, so that a test moves time only when someone waits for it.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled.
    public func sleepers(atLeast count: Int) async throws {
        try await registry.waitForSleepers(atLeast: count)
    }

    /// Waits until a task sleeps that wakes at `instant` or earlier: moving time there has something to wake.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled.
    public func sleeper(dueBy instant: Instant) async throws {
        try await registry.waitForSleeper(dueBy: instant.offset)
    }
}

extension ManualClock: AdvanceableClock {
    package var offsetNow: Duration { registry.now }

    package var nextSleeperOffset: Duration? { registry.nextDeadline }

    package func onAdvance(_ body: @escaping @Sendable () -> Bool) { registry.onAdvance(body) }

    package func advance(toOffset offset: Duration) async {
        registry.advance { _ in offset }
    }
}
