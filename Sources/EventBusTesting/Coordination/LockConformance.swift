public import EventBus

/// A conformance suite for implementations of ``/EventBus/DistributedLock``.
///
/// ```swift
/// @Test(arguments: LockConformance { RedisLock(redis) }.checks)
/// func conforms(check: ConformanceCheck) async throws {
///     try await check.run()
/// }
/// ```
///
/// It uses real time with bounded waits, so that the store may be behind a network. Each check uses a separate
/// resource, so checks may run concurrently.
public struct LockConformance: Sendable {
    private let ttl: Duration
    private let make: @Sendable () async throws -> any DistributedLock

    /// Creates a suite for the locks that `make` returns.
    ///
    /// - Parameters:
    ///   - ttl: The short time to live that checks use. Defaults to 300 ms. It has to be long enough for a renewal that
    ///     is sent after a third of it to succeed on this machine.
    ///   - make: A closure that returns an instance on the store under test. Each check calls it twice, to model two
    ///     processes.
    public init(ttl: Duration = .milliseconds(300), make: @escaping @Sendable () async throws -> any DistributedLock) {
        self.ttl = ttl
        self.make = make
    }

    /// The checks, each for one statement of the contract.
    public var checks: [ConformanceCheck] {
        exclusion + leases + waiting + bodies + reentrancy + manyResources + leading + inspection
    }

    /// Creates a check that passes for locks that do not conform to ``/EventBus/InspectableLock``.
    func inspectionCheck(
        _ name: String,
        _ body:
            @escaping @Sendable (_ one: any InspectableLock, _ other: any InspectableLock, Setup) async throws -> Void
    ) -> ConformanceCheck {
        check(name) { setup in
            guard let one = setup.one as? any InspectableLock, let other = setup.other as? any InspectableLock else {
                return
            }
            try await body(one, other, setup)
        }
    }

    struct Setup: Sendable {
        /// The first of two instances on one store.
        let one: any DistributedLock
        let other: any DistributedLock
        /// A resource name that nothing else uses.
        let resource: String
        /// A short time to live.
        let ttl: Duration
        /// A time to live that exceeds the duration of the check.
        let long = Duration.seconds(60)
    }

    func check(_ name: String, _ body: @escaping @Sendable (Setup) async throws -> Void) -> ConformanceCheck {
        ConformanceCheck(name) { [make, ttl] in
            let setup = try await Setup(one: make(), other: make(), resource: "conformance-\(EventID())", ttl: ttl)
            try await body(setup)
        }
    }
}

extension LockConformance.Setup {
    /// Runs `body` with the short time to live, and with longer ones if the lease was lost, because a busy machine may
    /// delay a renewal. A lock that does not renew loses the lease at any length.
    func patiently(_ body: @Sendable (_ ttl: Duration) async throws -> Void) async throws {
        for scale in [1, 4] {
            do {
                return try await body(ttl * scale)
            } catch let error as EventBusError where [.leaseExpired, .lockLost, .lockNotOwned].contains(error.code) {
                continue
            }
        }
        try await body(ttl * 16)
    }

    /// Throws unless `resource` can be acquired immediately or within a few seconds.
    func expectFree(_ resource: String, _ when: String) async throws {
        try await eventually("'\(resource)' should be free \(when)") {
            guard let lease = try await other.tryLock(resource, ttl: long) else { return false }
            try await lease.release()
            return true
        }
    }

    func expectHeld(_ resource: String, _ when: String) async throws {
        for lock in [one, other] {
            guard let lease = try await lock.tryLock(resource, ttl: ttl) else { continue }
            try await lease.release()
            throw ConformanceFailure("'\(resource)' should be held \(when), but was granted")
        }
    }
}
