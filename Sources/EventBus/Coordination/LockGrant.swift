/// What a ``DistributedLock`` gave to one holder. Users meet it as a ``Lease``.
public struct LockGrant: Hashable, Sendable {
    /// What is locked.
    public var resource: String
    /// What the store knows this holder by; no other grant has the same.
    public var owner: String
    /// Greater than the token of every earlier grant for the resource.
    public var fencingToken: UInt64
    /// For how long the grant is valid without being renewed.
    public var ttl: Duration
    /// Until when the grant is valid, by the lock's clock.
    ///
    /// Never later than the store's own view: counted from the instant at which the request was sent, less what two
    /// clocks may drift apart.
    public var validUntil: AnyClock.Instant

    /// A grant; made by implementations of ``DistributedLock`` only.
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
