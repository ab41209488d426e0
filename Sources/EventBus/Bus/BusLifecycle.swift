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
        /// The bus does not run yet: wait for it.
        case wait
        /// The bus is shutting down or has ended.
        case refuse
    }

    private(set) var phase: Phase = .idle
    /// Whether the bus came to run, whatever it does now.
    private(set) var hasRun = false
    /// Publishes under way.
    private(set) var inFlight = 0
    /// Whether the shutdown waits for the publishes under way.
    private(set) var isFlushing = false

    /// Starts the bus; `false` if it was started or shut down before.
    mutating func start() -> Bool {
        guard phase == .idle else { return false }
        phase = .starting
        return true
    }

    /// Notes that the subscriptions made before the start are attached, so that what is published reaches them.
    mutating func ready() {
        guard phase == .starting else { return }
        phase = .running
        hasRun = true
    }

    /// Asks for one publish. While the bus drains, its handlers may still publish what belongs to their work.
    mutating func admitPublish(fromHandler: @autoclosure () -> Bool) -> Admission {
        switch phase {
        case .running:
            break
        case .idle, .starting:
            return .wait
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
    mutating func close() {
        phase = .closed
    }
}
