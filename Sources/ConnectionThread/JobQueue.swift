import EventBus

/// The way into a thread's loop: jobs in the order they came, and whether the thread has to be woken for them.
final class JobQueue: Sendable {
    /// Work with the executor it is to run on, which must outlive it.
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

    /// What the thread has to do next.
    enum Next {
        case run
        case stop
        case sleep
    }

    private let state = Locked(State())

    /// Adds work. Returns whether the thread sleeps and has to be woken, which is said once.
    func add(_ work: Work, on executor: ConnectionThread) -> Bool {
        state.withLock { state in
            state.entries.append(Entry(work: work, executor: executor))
            defer { state.isAsleep = false }
            return state.isAsleep
        }
    }

    /// Asks the thread to end. Returns whether it has to be woken.
    func stop() -> Bool {
        state.withLock { state in
            state.isStopped = true
            defer { state.isAsleep = false }
            return state.isAsleep
        }
    }

    /// Moves the waiting jobs into `batch`, which has to be empty; its storage is used again.
    func take(into batch: inout [Entry]) {
        state.withLock { swap(&$0.entries, &batch) }
    }

    /// What comes next, decided in the moment before the thread would sleep.
    func next() -> Next {
        state.withLock { state in
            if !state.entries.isEmpty { return .run }
            if state.isStopped { return .stop }
            state.isAsleep = true
            return .sleep
        }
    }

    /// Says that the thread no longer sleeps.
    func awake() {
        state.withLock { $0.isAsleep = false }
    }
}
