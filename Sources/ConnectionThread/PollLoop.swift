import Glibc

/// The loop of a thread: it runs jobs, waits for descriptors and timers, calls their handlers, and repeats.
///
/// The loop has no reference to the executor that feeds it, so releasing the executor can end it.
// Safe because `jobs`, `wakeUp` and `threadID` may be used anywhere, and only the loop's thread touches everything
// else, which every entry point checks.
final class PollLoop: @unchecked Sendable {
    /// The number of batches of jobs that run before descriptors and timers are checked again.
    static let batchesBetweenPolls = 16

    struct Watch {
        let id: UInt64
        let onReady: (DescriptorEvents) -> Void
    }

    let jobs = JobQueue()
    let wakeUp: WakeUpPipe

    private var batch: [JobQueue.Entry] = []
    private var timers = TimerQueue<() -> Void>()
    private var endOfTurn: [() -> Void] = []
    private var descriptors: [pollfd]
    private var watches: [Int32: Watch] = [:]
    private var lastWatch: UInt64 = 0

    init(wakeUp: WakeUpPipe) {
        self.wakeUp = wakeUp
        self.descriptors = [pollfd(fd: wakeUp.readEnd, events: Int16(POLLIN), revents: 0)]
    }

    // MARK: Loop

    func run() {
        while true {
            for _ in 0..<Self.batchesBetweenPolls {
                jobs.take(into: &batch)
                if batch.isEmpty { break }
                for entry in batch { entry.run() }
                // Releasing the entries may release the executor, which then asks this loop to stop.
                batch.removeAll(keepingCapacity: batch.count <= 4096)
            }
            runEndOfTurn()
            switch jobs.next() {
            case .run:
                poll(timeout: 0)
            case .stop:
                return
            case .sleep:
                poll(timeout: timeoutUntilNextTimer())
                jobs.awake()
            }
            fireTimers()
            runEndOfTurn()
        }
    }

    private func runEndOfTurn() {
        while !endOfTurn.isEmpty {
            let actions = endOfTurn
            endOfTurn.removeAll(keepingCapacity: true)
            for action in actions { action() }
        }
    }

    private func timeoutUntilNextTimer() -> Int32 {
        guard let deadline = timers.nextDeadline() else { return -1 }
        let now = MonotonicTime.now
        if deadline <= now { return 0 }
        // Rounded up, because waking a fraction too early would spin.
        return Int32(clamping: (deadline.nanoseconds - now.nanoseconds) / 1_000_000 + 1)
    }

    private func fireTimers() {
        guard timers.count > 0 else { return }
        let now = MonotonicTime.now
        while let action = timers.popDue(at: now) { action() }
    }

    private func poll(timeout: Int32) {
        let ready = Glibc.poll(&descriptors, nfds_t(descriptors.count), timeout)
        guard ready > 0 else { return }
        if descriptors[0].revents != 0 { wakeUp.drain() }
        guard ready > 1 || descriptors[0].revents == 0 else { return }
        // A copy, because handlers add and remove watches.
        for descriptor in descriptors.dropFirst() where descriptor.revents != 0 {
            watches[descriptor.fd]?.onReady(DescriptorEvents(pollEvents: descriptor.revents))
        }
    }

    // MARK: Calls on the thread

    func watch(
        _ descriptor: Int32,
        for events: DescriptorEvents,
        _ onReady: @escaping (DescriptorEvents) -> Void
    ) -> UInt64 {
        precondition(watches[descriptor] == nil, "descriptor \(descriptor) is watched already")
        lastWatch += 1
        watches[descriptor] = Watch(id: lastWatch, onReady: onReady)
        descriptors.append(pollfd(fd: descriptor, events: events.pollEvents, revents: 0))
        return lastWatch
    }

    func setEvents(_ events: DescriptorEvents, of descriptor: Int32) {
        guard let index = descriptors.firstIndex(where: { $0.fd == descriptor }) else { return }
        descriptors[index].events = events.pollEvents
    }

    func unwatch(_ descriptor: Int32, id: UInt64) {
        guard watches[descriptor]?.id == id else { return }
        watches[descriptor] = nil
        descriptors.removeAll { $0.fd == descriptor }
    }

    func addTimer(at deadline: MonotonicTime, _ action: @escaping () -> Void) -> TimerID {
        timers.add(at: deadline, action)
    }

    func cancelTimer(_ id: TimerID) {
        timers.cancel(id)
    }

    func atEndOfTurn(_ action: @escaping () -> Void) {
        endOfTurn.append(action)
    }
}
