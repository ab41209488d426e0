/// One transport's connection to the broker.
struct ConnectionState: Sendable {
    /// Rises with every connection that is made or lost.
    var generation: UInt64 = 0
    /// Whether the transport's `run()` is under way.
    var isRunning = false
    /// The slots of its consumers in the order of attachment.
    var consumers: [Int] = []
    /// Who waits for `run()`.
    var waitingForRun: [UInt64: OneShot<Void>] = [:]
    /// Whether the transport is gone and the place is free.
    var isReleased = false
}
