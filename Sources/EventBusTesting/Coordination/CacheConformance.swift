public import EventBus

/// The contract of a ``/EventBus/Cache``, executable.
///
/// It runs on real time, with waits that are bounded, so that the store may stand behind a network. Each check uses keys
/// and tags of its own; they may run side by side.
public struct CacheConformance: Sendable {
    private let ttl: Duration
    private let make: @Sendable () async throws -> any Cache

    /// A suite for what `make` makes.
    ///
    /// - Parameters:
    ///   - ttl: the short freshness in use, which checks wait out; 150 ms unless stated.
    ///   - make: makes an instance on the one store under test. Each check calls it twice, to model two processes.
    public init(ttl: Duration = .milliseconds(150), make: @escaping @Sendable () async throws -> any Cache) {
        self.ttl = ttl
        self.make = make
    }

    /// The checks, each for one statement of the contract.
    public var checks: [ConformanceCheck] {
        entries + flights + staleness + invalidation + reentrancy
    }

    /// A value that is not a plain number or text.
    struct Price: Codable, Hashable, Sendable {
        var amount: Int
        var currency: String
    }

    struct ComputeFailed: Error {}

    struct Setup: Sendable {
        /// Two instances on one store.
        let one: any Cache
        let other: any Cache
        /// A key that nothing else uses; serves as a tag, too.
        let key: String
        /// Options whose freshness is over soon.
        let short: CacheOptions
        /// Options whose freshness is not over before the check is.
        let long = CacheOptions(ttl: .seconds(60))
    }

    func check(_ name: String, _ body: @escaping @Sendable (Setup) async throws -> Void) -> ConformanceCheck {
        ConformanceCheck(name) { [make, ttl] in
            let setup = try await Setup(
                one: make(),
                other: make(),
                key: "conformance-\(EventID())",
                short: CacheOptions(ttl: ttl, jitter: 0)
            )
            try await body(setup)
        }
    }
}

extension CacheConformance.Setup {
    /// Waits until what was stored with ``short`` is past its freshness.
    func outlastTTL() async throws {
        try await ContinuousClock().sleep(for: short.ttl + .milliseconds(20))
    }

    /// Throws unless both instances have no value for `key`, now or within a few seconds.
    func expectNone(for key: String, _ when: String) async throws {
        for cache in [one, other] {
            try await eventually("there should be no value for '\(key)' \(when)") {
                let value = try await cache.value(for: key, as: Int.self, options: long) { nil as Int? }
                return value == nil
            }
        }
    }

    func expect(_ expected: Int, for key: String, _ when: String) async throws {
        for cache in [one, other] {
            let value = try await cache.value(for: key, as: Int.self, options: long) { nil as Int? }
            try EventBusTesting.expect(value == expected, "'\(key)' is \(value as Int?, default: "nothing") \(when)")
        }
    }
}
