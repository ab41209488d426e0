public import EventBus

/// A conformance suite for implementations of ``/EventBus/Cache``.
///
/// ```swift
/// @Test(arguments: CacheConformance { RedisCache(redis) }.checks)
/// func conforms(check: ConformanceCheck) async throws {
///     try await check.run()
/// }
/// ```
///
/// It uses real time with bounded waits, so that the store may be behind a network. Each check uses separate keys and
/// tags, so checks may run concurrently.
public struct CacheConformance: Sendable {
    private let ttl: Duration
    private let make: @Sendable () async throws -> any Cache

    /// Creates a suite for the caches that `make` returns.
    ///
    /// - Parameters:
    ///   - ttl: The short time to live that checks wait out. Defaults to 150 ms.
    ///   - make: A closure that returns an instance on the store under test. Each check calls it twice, to model two
    ///     processes.
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
        /// The first of two instances on one store.
        let one: any Cache
        let other: any Cache
        /// A key that nothing else uses. It also serves as a tag.
        let key: String
        /// Options with a short time to live.
        let short: CacheOptions
        /// Options with a time to live that exceeds the duration of the check.
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
    /// Waits until values stored with ``short`` are no longer fresh.
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
