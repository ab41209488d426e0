import EventBus

/// One transport's connection to the broker.
struct ConnectionState: Sendable {
    /// A number that grows with every established or lost connection.
    var generation: UInt64 = 0
    /// A Boolean value indicating whether the transport's `run()` is running.
    var isRunning = false
    /// The slots of its consumers in the order of attachment.
    var consumers: [Int] = []
    /// The callers that wait for `run()`.
    var waitingForRun: [UInt64: OneShot<Void>] = [:]
    /// A Boolean value indicating whether the transport is gone and its slot is free.
    var isReleased = false
}
