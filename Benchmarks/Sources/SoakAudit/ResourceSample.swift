/// The resources of a process at one time.
package struct ResourceSample: Sendable {
    /// The worker's name.
    package var worker: String
    /// The process id.
    package var process: Int
    /// The time in nanoseconds of the machine's monotonic clock.
    package var time: UInt64
    /// The resident memory.
    package var kilobytes: Int
    /// The number of open descriptors.
    package var descriptors: Int
    /// The number of threads.
    package var threads: Int

    /// Creates a sample.
    package init(worker: String, process: Int, time: UInt64, kilobytes: Int, descriptors: Int, threads: Int) {
        self.worker = worker
        self.process = process
        self.time = time
        self.kilobytes = kilobytes
        self.descriptors = descriptors
        self.threads = threads
    }
}

/// A dead letter that was found at the end.
package struct DeadLetterEntry: Sendable {
    /// The group.
    package var group: String
    /// The event's id.
    package var id: String
    /// The reason.
    package var reason: String

    /// Creates an entry.
    package init(group: String, id: String, reason: String) {
        self.group = group
        self.id = id
        self.reason = reason
    }
}
