import Dispatch

/// An executor that runs an actor on a separate thread, where it may block without delaying others.
public final class BlockingExecutor: SerialExecutor {
    private let queue: DispatchQueue

    /// Creates an executor whose thread has this name.
    public init(name: String) {
        queue = DispatchQueue(label: name)
    }

    /// Runs a job after the earlier ones.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
