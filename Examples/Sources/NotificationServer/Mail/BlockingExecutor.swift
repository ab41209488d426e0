import Dispatch

/// Runs an actor on a thread of its own, where it may block without holding up anyone else.
final class BlockingExecutor: SerialExecutor {
    private let queue: DispatchQueue

    /// An executor whose thread has this name.
    init(name: String) {
        queue = DispatchQueue(label: name)
    }

    /// Runs a job after those that came before it.
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
