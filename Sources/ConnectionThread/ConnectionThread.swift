package import EventBus
import Glibc
import Synchronization

/// One thread that serves one connection: the executor of the actors that own it, and the loop that waits for its
/// descriptor and its timers.
///
/// An actor whose `unownedExecutor` is such a thread may call everything here without suspending, and its C handle is
/// touched by one thread only, which the compiler proves. Jobs run first in, first out; descriptors and timers are
/// looked at between them, after 16 batches at the latest.
///
/// The thread ends when the last reference to the executor is gone. Handlers and timers are held by the loop until
/// they are cancelled or fire: capture the actor weakly in them, or it will hold its own thread for ever.
package final class ConnectionThread: SerialExecutor {
    /// Names one watch on a descriptor.
    package struct WatchID: Hashable, Sendable {
        let descriptor: Int32
        let number: UInt64
    }

    private let loop: PollLoop
    private let threadID: ThreadIdentity

    /// Starts a thread.
    ///
    /// - Parameters:
    ///   - name: What debuggers and `top` call it; Linux keeps 15 bytes.
    ///   - stackSize: In bytes. 8 MiB unless stated, since native readers recurse on the stack.
    /// - Throws: `EventBusError` with code `.unavailable` when the process has no descriptor or thread left.
    package init(name: String, stackSize: Int = 8 << 20) throws(EventBusError) {
        guard let wakeUp = WakeUpPipe() else {
            throw EventBusError(.unavailable, "no pipe for the I/O thread \(name): \(String(errorNumber: errno))")
        }
        let loop = PollLoop(wakeUp: wakeUp)
        let threadID = ThreadIdentity()
        self.loop = loop
        self.threadID = threadID
        let problem = startDetachedThread(name: name, stackSize: stackSize) {
            threadID.adopt()
            loop.run()
        }
        if problem != 0 {
            throw EventBusError(.unavailable, "no I/O thread \(name): \(String(errorNumber: problem))")
        }
    }

    deinit {
        // May run on the thread itself, at the end of its last job.
        if loop.jobs.stop() { loop.wakeUp.signal() }
    }

    // MARK: executor

    package func enqueue(_ job: consuming ExecutorJob) {
        if loop.jobs.add(.job(UnownedJob(job)), on: self) { loop.wakeUp.signal() }
    }

    /// Runs `body` on the thread, in its turn among the jobs: cheaper than a task where nothing has to be awaited.
    package func execute(_ body: @escaping @Sendable () -> Void) {
        if loop.jobs.add(.body(body), on: self) { loop.wakeUp.signal() }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor {
        UnownedSerialExecutor(ordinary: self)
    }

    package func checkIsolated() {
        precondition(isCurrent, "called on a thread that is not the connection's")
    }

    package func isIsolatingCurrentContext() -> Bool? {
        isCurrent
    }

    /// Whether the caller runs on this thread.
    package var isCurrent: Bool { threadID.isCurrent }

    // MARK: on the thread only

    /// Calls `onReady` whenever `descriptor` is ready, until it is unwatched. The descriptor must stay open until then.
    package func watch(
        _ descriptor: Int32,
        for events: DescriptorEvents,
        onReady: @escaping (DescriptorEvents) -> Void
    ) -> WatchID {
        checkIsolated()
        return WatchID(descriptor: descriptor, number: loop.watch(descriptor, for: events, onReady))
    }

    /// Changes what a descriptor is watched for.
    package func setEvents(_ events: DescriptorEvents, of watch: WatchID) {
        checkIsolated()
        loop.setEvents(events, of: watch.descriptor)
    }

    /// Ends a watch. Its handler is not called again, also not for what was found ready in this turn.
    package func unwatch(_ watch: WatchID) {
        checkIsolated()
        loop.unwatch(watch.descriptor, id: watch.number)
    }

    /// Calls `action` once, at `deadline` or soon after.
    @discardableResult
    package func schedule(at deadline: MonotonicTime, _ action: @escaping () -> Void) -> TimerID {
        checkIsolated()
        return loop.addTimer(at: deadline, action)
    }

    /// Cancels a timer; does nothing if it has fired.
    package func cancel(_ timer: TimerID) {
        checkIsolated()
        loop.cancelTimer(timer)
    }

    /// Calls `action` once, before the thread next waits: what many jobs of one turn have collected leaves together.
    package func atEndOfTurn(_ action: @escaping () -> Void) {
        checkIsolated()
        loop.atEndOfTurn(action)
    }
}

/// Which thread a loop runs on, readable from any thread.
final class ThreadIdentity: Sendable {
    /// Zero until the thread has started; no thread of glibc has that identity.
    private let id = Atomic<UInt>(0)

    func adopt() {
        id.store(UInt(pthread_self()), ordering: .releasing)
    }

    var isCurrent: Bool {
        id.load(ordering: .acquiring) == UInt(pthread_self())
    }
}
