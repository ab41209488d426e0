/// The lifecycle of a bus, as a state machine. It performs no I/O, reads no clock and never waits. Each method returns
/// the action to take.
///
/// ```
/// idle ── start ──▶ starting ── ready ──▶ running ── beginShutdown ──▶ draining ── close ──▶ closed
///   │                   └─────────────────────────── beginShutdown ──────▲                     ▲
///   └─────────────────────────────────────────────── beginShutdown ────────────────────────────┘
/// ```
struct BusLifecycle {
    enum Phase: Hashable {
        case idle
        case starting
        case running
        case draining
        case closed
    }

    /// The decision on a publish.
    enum Admission: Hashable {
        /// Proceed, and call ``publishFinished()`` afterwards.
        case proceed
        /// Wait for `run()`, which has not been called yet.
        case waitForRun
        /// Wait for a limited time for the subscriptions that were made before the start, which are being attached.
        case waitForSubscriptions
        /// Refuse the publish, because the bus is shutting down or has ended.
        case refuse
    }

    /// The outcome of a call of `run()`.
    enum Start: Hashable {
        case started
        /// The bus was started before.
        case alreadyStarted
        /// The bus was shut down before it was started.
        case shutDown
    }

    private(set) var phase: Phase = .idle
    /// A Boolean value indicating whether the bus was ever started.
    private(set) var wasStarted = false
    /// A Boolean value indicating whether the bus was ever running with all its subscriptions attached.
    private(set) var hasRun = false
    /// A Boolean value indicating whether publishes proceed although a subscription is not attached yet.
    private(set) var isOpen = false
    /// The number of publishes in flight.
    private(set) var inFlight = 0
    /// A Boolean value indicating whether the shutdown waits for the publishes in flight.
    private(set) var isFlushing = false
    /// The description of the error that ended the bus.
    private(set) var failure: String?

    /// Starts the bus, unless it was started or shut down before.
    mutating func start() -> Start {
        guard phase == .idle else { return wasStarted ? .alreadyStarted : .shutDown }
        phase = .starting
        wasStarted = true
        return .started
    }

    /// Lets publishes proceed although a subscription is not attached yet. Returns `true` if that changes anything.
    mutating func open() -> Bool {
        guard phase == .starting else { return false }
        isOpen = true
        return true
    }

    /// Records that the subscriptions made before the start are attached, so that published events reach them.
    mutating func ready() {
        guard phase == .starting else { return }
        phase = .running
        hasRun = true
    }

    /// Requests permission for one publish.
    ///
    /// While the bus starts or drains, its handlers may publish events that belong to their work.
    ///
    /// - Parameters:
    ///   - isPatient: `true` if the publish can wait for subscriptions to be attached.
    ///   - fromHandler: `true` if one of the bus's handlers publishes.
    mutating func admitPublish(isPatient: Bool = true, fromHandler: @autoclosure () -> Bool) -> Admission {
        switch phase {
        case .running:
            break
        case .idle:
            return .waitForRun
        case .starting where isOpen || !isPatient || fromHandler():
            break
        case .starting:
            return .waitForSubscriptions
        case .draining where fromHandler():
            break
        case .draining, .closed:
            return .refuse
        }
        inFlight += 1
        return .proceed
    }

    /// Records the end of an admitted publish. Returns `true` if it was the last one.
    mutating func publishFinished() -> Bool {
        inFlight -= 1
        return inFlight == 0
    }

    /// The action that follows a request to shut down.
    enum ShutdownAction: Hashable {
        /// Nothing is running yet, so the bus is closed immediately.
        case closed
        /// Drain the subscriptions, then close.
        case drain
        /// Do nothing, because the shutdown is in progress or done.
        case none
    }

    /// Begins the shutdown.
    mutating func beginShutdown() -> ShutdownAction {
        switch phase {
        case .idle:
            phase = .closed
            return .closed
        case .starting, .running:
            phase = .draining
            return .drain
        case .draining, .closed:
            return .none
        }
    }

    /// Begins to wait for the publishes in flight, to which handlers may have added until now. Returns `true` if there
    /// are any.
    mutating func beginFlush() -> Bool {
        isFlushing = true
        return inFlight > 0
    }

    /// Ends the bus. Nothing is admitted any more.
    mutating func close(failure: String? = nil) {
        phase = .closed
        self.failure = failure ?? self.failure
    }
}
