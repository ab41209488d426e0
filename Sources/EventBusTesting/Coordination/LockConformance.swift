public import EventBus

/// The contract of a ``/EventBus/DistributedLock``, executable.
///
/// It runs on real time, with waits that are bounded, so that the store may stand behind a network. Each check uses a
/// resource of its own; they may run side by side.
public struct LockConformance: Sendable {
    private let ttl: Duration
    private let make: @Sendable () async throws -> any DistributedLock

    /// A suite for what `make` makes.
    ///
    /// - Parameters:
    ///   - ttl: the short time to live in use; 300 ms unless stated. It has to be long enough for a renewal, sent after
    ///     a third of it, to get through on the machine at hand.
    ///   - make: makes an instance on the one store under test. Each check calls it twice, to model two processes.
    public init(ttl: Duration = .milliseconds(300), make: @escaping @Sendable () async throws -> any DistributedLock) {
        self.ttl = ttl
        self.make = make
    }

    /// The checks, each for one statement of the contract.
    public var checks: [ConformanceCheck] {
        exclusion + leases + waiting + bodies + reentrancy + manyResources
    }

    struct Setup: Sendable {
        /// Two instances on one store.
        let one: any DistributedLock
        let other: any DistributedLock
        /// A name that nothing else uses.
        let resource: String
        /// A time to live that is over soon.
        let ttl: Duration
        /// A time to live that is not over before the check is.
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
    /// Runs `body` with the short time to live; with a longer one if the lease was lost, since a busy machine may hold
    /// up any renewal for a while. A lock that does not renew loses the lease at any length.
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

    /// Throws unless `resource` can be had at once, or is free within a few seconds.
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
