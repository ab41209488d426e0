public import EventBus

/// A conformance suite for implementations of ``/EventBus/SharedLock``.
///
/// ```swift
/// let lock = InMemorySharedLock()
/// let checks = SharedLockConformance { lock }.checks
/// ```
///
/// It uses real time with bounded waits, so that the store may be behind a network. Each check uses a separate
/// resource, so checks may run concurrently. The leases of one share have to follow the contract of
/// ``/EventBus/DistributedLock`` as well: `LockConformance { lock.lock(for: .exclusive) }` checks that.
public struct SharedLockConformance: Sendable {
    private let ttl: Duration
    private let make: @Sendable () async throws -> any SharedLock

    /// Creates a suite for the locks that `make` returns.
    ///
    /// - Parameters:
    ///   - ttl: The short time to live that checks wait out. Defaults to 300 ms.
    ///   - make: A closure that returns an instance on the store under test. Each check calls it twice, to model two
    ///     processes.
    public init(ttl: Duration = .milliseconds(300), make: @escaping @Sendable () async throws -> any SharedLock) {
        self.ttl = ttl
        self.make = make
    }

    /// The checks, each for one statement of the contract.
    public var checks: [ConformanceCheck] { exclusion + waiting + leases }

    struct Setup: Sendable {
        /// The first of two instances on one store.
        let one: any SharedLock
        let other: any SharedLock
        /// A resource name that nothing else uses.
        let resource: String
        /// A short time to live.
        let ttl: Duration
        /// A time to live that exceeds the duration of the check.
        let long = Duration.seconds(60)
    }

    func check(_ name: String, _ body: @escaping @Sendable (Setup) async throws -> Void) -> ConformanceCheck {
        ConformanceCheck(name) { [make, ttl] in
            try await body(Setup(one: make(), other: make(), resource: "conformance-\(EventID())", ttl: ttl))
        }
    }
}

extension SharedLockConformance.Setup {
    func acquire(
        _ share: LockShare,
        of lock: any SharedLock,
        ttl: Duration? = nil,
        wait: Duration = .zero
    ) async throws -> LockGrant {
        try await lock.lock(for: share).acquire(resource, ttl: ttl ?? long, wait: wait)
    }

    func release(_ grant: LockGrant) async throws {
        try await one.lock(for: .exclusive).release(grant)
    }

    /// Returns a Boolean value indicating whether a share is granted immediately. It is released again.
    func isFree(_ share: LockShare) async throws -> Bool {
        guard let lease = try await other.lock(for: share).tryLock(resource, ttl: long) else { return false }
        try await lease.release()
        return true
    }

    /// Waits until a request waits for the resource, which makes later requests wait as well.
    ///
    /// - Parameter share: A share that would be granted if nobody waited.
    func awaitWaiter(whileFree share: LockShare) async throws {
        try await eventually("a request should wait for '\(resource)'") { try await !isFree(share) }
    }
}
