/// How much waits in an outbox.
public struct OutboxBacklog: Hashable, Sendable {
    /// Events that wait to be published.
    public var count: Int
    /// How long the oldest of them has waited; `nil` where none waits.
    public var oldestAge: Duration?
    /// Events that were given up and wait for someone to look at them.
    public var parked: Int

    /// A backlog of this size.
    public init(count: Int, oldestAge: Duration?, parked: Int) {
        self.count = count
        self.oldestAge = oldestAge
        self.parked = parked
    }
}
