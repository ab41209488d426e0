import EventBus

/// A clock whose time advances only when a test advances it.
///
/// ```swift
/// let clock = ManualClock()
/// let broker = InMemoryBroker(clock: clock)
/// …
/// try await clock.sleepers(atLeast: 1)
/// clock.advance(by: .seconds(30))
/// ```
///
/// Copies of a clock share one time.
public struct ManualClock: Clock {
    /// An instant of a manual clock: the duration since the clock was created.
    public struct Instant: InstantProtocol, Sendable {
        /// The duration since the clock was created.
        public var offset: Duration

        /// Creates the instant `offset` after the clock was created. Defaults to the creation of the clock.
        public init(offset: Duration = .zero) {
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

    private let registry = SleeperRegistry()

    /// Creates a clock at offset zero.
    public init() {}

    /// The current instant. It changes only by ``advance(to:)`` and ``advance(by:)``.
    public var now: Instant { Instant(offset: registry.now) }

    /// The smallest possible difference between two instants: one attosecond.
    public var minimumResolution: Duration { Duration(secondsComponent: 0, attosecondsComponent: 1) }

    /// The number of sleeping tasks.
    public var sleeperCount: Int { registry.count }

    /// Suspends until the clock has advanced to `deadline` or beyond. `tolerance` has no effect.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled.
    public func sleep(until deadline: Instant, tolerance: Duration? = nil) async throws {
        try await registry.sleep(until: deadline.offset)
    }

    /// Advances the time by `duration` and wakes the tasks that are due, in the order of their deadlines.
    ///
    /// The due tasks have been resumed when the call returns, but may not have run yet. A task that sleeps until an
    /// instant that has already been reached does not suspend.
    public func advance(by duration: Duration) {
        registry.advance { $0 + duration.clampedToLongest }
    }

    /// Advances the time to `instant`, as ``advance(by:)`` does. An instant in the past has no effect.
    public func advance(to instant: Instant) {
        registry.advance { _ in instant.offset }
    }

    /// Waits until at least `count` tasks sleep, so that a test advances the time only when somebody waits for it.
    ///
    /// - Throws: `CancellationError` as soon as the task is cancelled.
    public func sleepers(atLeast count: Int) async throws {
        try await registry.waitForSleepers(atLeast: count)
    }

    /// Waits until a task sleeps that is due at `instant` or earlier, so that advancing the time to `instant` wakes a
    /// task.
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
