import EventBus

/// The jobs of a thread's loop in the order of their arrival, and the state that decides whether to wake the thread.
final class JobQueue: Sendable {
    /// A unit of work with the executor that it runs on. The executor must outlive it.
    struct Entry {
        let work: Work
        let executor: ConnectionThread

        func run() {
            switch work {
            case .job(let job): job.runSynchronously(on: executor.asUnownedSerialExecutor())
            case .body(let body): body()
            }
        }
    }

    enum Work {
        case job(UnownedJob)
        case body(@Sendable () -> Void)
    }

    private struct State {
        var entries: [Entry] = []
        var isAsleep = false
        var isStopped = false
    }

    /// The next action of the thread.
    enum Next {
        case run
        case stop
        case sleep
    }

    private let state = Locked(State())

    /// Adds work. Returns whether the thread sleeps and has to be woken, which is `true` for one caller only.
    func add(_ work: Work, on executor: ConnectionThread) -> Bool {
        state.withLock { state in
            state.entries.append(Entry(work: work, executor: executor))
            defer { state.isAsleep = false }
            return state.isAsleep
        }
    }

    /// Asks the thread to end. Returns whether the thread has to be woken.
    func stop() -> Bool {
        state.withLock { state in
            state.isStopped = true
            defer { state.isAsleep = false }
            return state.isAsleep
        }
    }

    /// Moves the waiting jobs into `batch`, which must be empty and whose storage is reused.
    func take(into batch: inout [Entry]) {
        state.withLock { swap(&$0.entries, &batch) }
    }

    /// Returns the next action. It is called immediately before the thread would sleep.
    func next() -> Next {
        state.withLock { state in
            if !state.entries.isEmpty { return .run }
            if state.isStopped { return .stop }
            state.isAsleep = true
            return .sleep
        }
    }

    /// Records that the thread no longer sleeps.
    func awake() {
        state.withLock { $0.isAsleep = false }
    }
}
