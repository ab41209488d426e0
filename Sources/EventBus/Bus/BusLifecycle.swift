/// The life of a bus as a pure state machine: no I/O, no clock, no waiting. Each method returns what to do.
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

    /// What a publish may do.
    enum Admission: Hashable {
        /// Go ahead, and call ``publishFinished()`` afterwards.
        case proceed
        /// `run()` was not called yet: wait for it.
        case waitForRun
        /// The subscriptions made before the start are being attached: wait for them for a while.
        case waitForSubscriptions
        /// The bus is shutting down or has ended.
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
    /// Whether the bus was started, whatever it does now.
    private(set) var wasStarted = false
    /// Whether the bus came to run with all its subscriptions attached, whatever it does now.
    private(set) var hasRun = false
    /// Whether publishes go ahead although a subscription is not attached yet.
    private(set) var isOpen = false
    /// Publishes under way.
    private(set) var inFlight = 0
    /// Whether the shutdown waits for the publishes under way.
    private(set) var isFlushing = false
    /// The error that ended the bus, in words.
    private(set) var failure: String?

    /// Starts the bus, unless it was started or shut down before.
    mutating func start() -> Start {
        guard phase == .idle else { return wasStarted ? .alreadyStarted : .shutDown }
        phase = .starting
        wasStarted = true
        return .started
    }

    /// Lets publishes go ahead although a subscription is not attached yet; returns whether that changes anything.
    mutating func open() -> Bool {
        guard phase == .starting else { return false }
        isOpen = true
        return true
    }

    /// Notes that the subscriptions made before the start are attached, so that what is published reaches them.
    mutating func ready() {
        guard phase == .starting else { return }
        phase = .running
        hasRun = true
    }

    /// Asks for one publish.
    ///
    /// While the bus starts or drains, its handlers may publish what belongs to their work.
    ///
    /// - Parameters:
    ///   - isPatient: Whether the publish can wait for subscriptions to be attached.
    ///   - fromHandler: Whether one of the bus's handlers publishes.
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

    /// Notes the end of an admitted publish; returns whether it was the last one.
    mutating func publishFinished() -> Bool {
        inFlight -= 1
        return inFlight == 0
    }

    /// What a request to shut down leads to.
    enum ShutdownAction: Hashable {
        /// Nothing runs yet: the bus is closed at once.
        case closed
        /// Drain the subscriptions, then close.
        case drain
        /// It is under way or done.
        case none
    }

    /// Begins to shut down.
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

    /// Begins to wait for the publishes under way, which handlers may have added to until now; returns whether there
    /// are any.
    mutating func beginFlush() -> Bool {
        isFlushing = true
        return inFlight > 0
    }

    /// Ends the bus: nothing is admitted any more.
    mutating func close(failure: String? = nil) {
        phase = .closed
        self.failure = failure ?? self.failure
    }
}
