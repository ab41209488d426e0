package import EventBus
import Glibc
import Synchronization

/// A thread that serves one connection. It is the executor of the actors that own the connection, and runs the loop
/// that waits for the connection's descriptor and timers.
///
/// An actor whose `unownedExecutor` is such a thread may call everything here without suspending. Its C handle is
/// touched by this thread only, which the compiler proves. Jobs run first in, first out. Descriptors and timers are
/// checked between jobs, after 16 batches at the latest.
///
/// The thread ends when the last reference to the executor is released. The loop retains handlers and timers until they
/// are cancelled or fire. Capture the actor weakly in them. Otherwise it keeps its own thread alive indefinitely.
package final class ConnectionThread: SerialExecutor {
    /// The identity of one watch on a descriptor.
    package struct WatchID: Hashable, Sendable {
        let descriptor: Int32
        let number: UInt64
    }

    private let loop: PollLoop
    private let threadID: ThreadIdentity

    /// Starts a thread.
    ///
    /// - Parameters:
    ///   - name: The name that debuggers and `top` show. Linux keeps the first 15 bytes.
    ///   - stackSize: The size of the stack in bytes. Defaults to 16 MiB because readers in C recurse on the stack.
    /// - Throws: `EventBusError` with code `.unavailable` if the process has no descriptor or thread left.
    package init(name: String, stackSize: Int = 16 << 20) throws(EventBusError) {
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

    // MARK: Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        add(.job(UnownedJob(job)))
    }

    /// Runs `body` on the thread, in order with the jobs. It is cheaper than a task if nothing has to be awaited.
    package func execute(_ body: @escaping @Sendable () -> Void) {
        add(.body(body))
    }

    private func add(_ work: JobQueue.Work) {
        // The runtime does not retain an executor. A thread that is woken by something else may run the job, and release
        // this object with it, before the thread is signalled here.
        // Retained by hand, because the optimizer may replace a copy of a reference by a borrow from this object.
        let held = Unmanaged.passRetained(loop)
        defer { held.release() }
        held._withUnsafeGuaranteedRef { if $0.jobs.add(work, on: self) { $0.wakeUp.signal() } }
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

    /// A Boolean value indicating whether the caller runs on this thread.
    package var isCurrent: Bool { threadID.isCurrent }

    // MARK: Calls on the thread

    /// Calls `onReady` whenever `descriptor` is ready, until it is unwatched. The descriptor must stay open until then.
    package func watch(
        _ descriptor: Int32,
        for events: DescriptorEvents,
        onReady: @escaping (DescriptorEvents) -> Void
    ) -> WatchID {
        checkIsolated()
        return WatchID(descriptor: descriptor, number: loop.watch(descriptor, for: events, onReady))
    }

    /// Changes the readiness events that a descriptor is watched for.
    package func setEvents(_ events: DescriptorEvents, of watch: WatchID) {
        checkIsolated()
        loop.setEvents(events, of: watch.descriptor)
    }

    /// Ends a watch. Its handler is not called again, not even for events that were already found in this turn.
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

    /// Cancels a timer. Does nothing if it has already fired.
    package func cancel(_ timer: TimerID) {
        checkIsolated()
        loop.cancelTimer(timer)
    }

    /// Calls `action` once, before the thread waits the next time. Work that many jobs of one turn have collected is
    /// sent together this way.
    package func atEndOfTurn(_ action: @escaping () -> Void) {
        checkIsolated()
        loop.atEndOfTurn(action)
    }
}

/// The identity of the thread that a loop runs on, readable from any thread.
final class ThreadIdentity: Sendable {
    /// The thread's identity, or zero until the thread has started. No glibc thread has the identity zero.
    private let id = Atomic<UInt>(0)

    func adopt() {
        id.store(UInt(pthread_self()), ordering: .releasing)
    }

    var isCurrent: Bool {
        id.load(ordering: .acquiring) == UInt(pthread_self())
    }
}
