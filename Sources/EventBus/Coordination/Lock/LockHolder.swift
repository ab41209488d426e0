/// The holder of a resource of an ``InspectableLock``, as seen at one moment.
///
/// ```swift
/// for holder in try await lock.holders() {
///     print("\(holder.process) holds \(holder.resource) for \(holder.heldFor), \(holder.waiters) waiting")
/// }
/// ```
public struct LockHolder: Hashable, Sendable {
    /// The name of the locked resource.
    public var resource: String
    /// The identity of the grant in the store, which is unique for each grant.
    public var owner: String
    /// The name of the process that holds the resource, for people. Defaults to its host and process id, such as
    /// `web-1:4711`.
    public var process: String
    /// The fencing token of the grant.
    public var fencingToken: UInt64
    /// The time since the grant.
    public var heldFor: Duration
    /// The time after which the grant expires unless it is renewed.
    public var remaining: Duration
    /// The number of calls that wait for the resource.
    public var waiters: Int

    /// Creates a holder. It is called by implementations of ``InspectableLock`` only.
    public init(
        resource: String,
        owner: String,
        process: String,
        fencingToken: UInt64,
        heldFor: Duration,
        remaining: Duration,
        waiters: Int
    ) {
        self.resource = resource
        self.owner = owner
        self.process = process
        self.fencingToken = fencingToken
        self.heldFor = heldFor
        self.remaining = remaining
        self.waiters = waiters
    }
}
