/// A grant of a resource to one holder of a ``DistributedLock``. Users get it in the form of a ``Lease``.
public struct LockGrant: Hashable, Sendable {
    /// The name of the locked resource.
    public var resource: String
    /// The identity of the holder in the store, which is unique for each grant.
    public var owner: String
    /// A number that is greater than the token of every earlier grant for the resource.
    public var fencingToken: UInt64
    /// The time for which the grant is valid without a renewal.
    public var ttl: Duration
    /// The end of the grant, by the lock's clock.
    ///
    /// It is never later than the end in the store: it is counted from the instant at which the request was sent, minus
    /// the possible drift between the two clocks.
    public var validUntil: AnyClock.Instant

    /// Creates a grant. It is called by implementations of ``DistributedLock`` only.
    public init(
        resource: String,
        owner: String,
        fencingToken: UInt64,
        ttl: Duration,
        validUntil: AnyClock.Instant
    ) {
        self.resource = resource
        self.owner = owner
        self.fencingToken = fencingToken
        self.ttl = ttl
        self.validUntil = validUntil
    }
}
