import EventBus
import EventBusTesting
import Testing

/// A conformance suite is useful only if it fails for violations of the contract.
@Suite("Coordination: the conformance suites find contract violations", .timeLimit(.minutes(1)))
struct CoordinationConformanceTests {
    @Test(
        "A lock that is never held by anyone",
        arguments: [
            "a free resource is granted, a held one is refused, and a released one is granted again",
            "of many tasks that want a resource, one holds it at a time",
            "fencing tokens grow from grant to grant, for every holder and after an expiry",
            "a lease that is not renewed ends, and the next waiter gets the resource",
            "a late release or renewal does not affect the next holder's lease",
            "a wait that times out throws and leaves the queue",
            "withLock holds the resource while its body runs, and returns the body's result",
            "withLocks holds no resource if it cannot have all of them",
            "one of many candidates leads at a time, and each leads in turn",
        ]
    )
    func lock(name: String) async throws {
        try await expectFailure(of: name, in: LockConformance { OpenLock() }.checks)
    }

    @Test(
        "A cache that keeps nothing",
        arguments: [
            "a value is computed once and served from then on, to every instance",
            "the absence of a value is cached if requested",
            "a batch computes missing values with one call",
            "concurrent callers wait for one computation",
            "a stale value is served when the computation fails, within the grace",
        ]
    )
    func cache(name: String) async throws {
        try await expectFailure(of: name, in: CacheConformance { NoCache() }.checks)
    }

    @Test(
        "An inbox that remembers nothing",
        arguments: [
            "an event is new, then in progress, then completed",
            "an abandoned event can be claimed again immediately, with a greater fence",
            "a late completion is refused while another claim is active, and after it was completed",
            "a renewed claim outlives its first lease, and can be completed",
            "a claim that is no longer active cannot be renewed",
            "of many concurrent callers, one gets the claim",
        ]
    )
    func inbox(name: String) async throws {
        try await expectFailure(of: name, in: InboxConformance { NoInbox() }.checks)
    }

    @Test(
        "A rate limiter that grants everything",
        arguments: [
            "a burst is granted, and the next request is refused with the time after which to ask again",
            "of many concurrent requests, as many as the burst are granted",
            "several permits are granted together or not at all, and a refusal uses none",
            "keys are independent of each other, however they are spelled",
            "requests that accept a wait are given times in the order in which they ask",
            "waiting returns when the permit may be used",
            "a wait that would be too long fails immediately and uses no permit",
        ]
    )
    func rateLimiter(name: String) async throws {
        try await expectFailure(of: name, in: RateLimiterConformance { NoLimit() }.checks)
    }

    @Test(
        "A shared lock that is never held by anyone",
        arguments: [
            "many readers hold a resource together, and no writer does meanwhile",
            "a writer holds a resource alone",
            "no more permits are held than the limit",
        ]
    )
    func sharedLock(name: String) async throws {
        try await expectFailure(of: name, in: SharedLockConformance { OpenSharedLock() }.checks)
    }

    @Test("Every check has a unique name, which describes it")
    func names() {
        let checks =
            LockConformance { OpenLock() }.checks + CacheConformance { NoCache() }.checks
            + InboxConformance { NoInbox() }.checks + RateLimiterConformance { NoLimit() }.checks
            + SharedLockConformance { OpenSharedLock() }.checks
        #expect(Set(checks.map(\.name)).count == checks.count)
        #expect(checks.allSatisfy { "\($0)" == $0.name })
    }

    private func expectFailure(of name: String, in checks: [ConformanceCheck]) async throws {
        let check = try #require(checks.first { $0.name == name })
        await #expect(throws: (any Error).self) { try await check.run() }
    }
}

private struct OpenLock: DistributedLock {
    let clock = AnyClock.continuous

    func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        LockGrant(
            resource: resource,
            owner: "",
            fencingToken: 1,
            ttl: ttl,
            validUntil: clock.now.advanced(by: ttl)
        )
    }

    func renew(_ grant: LockGrant) async throws -> AnyClock.Instant { clock.now.advanced(by: grant.ttl) }
    func release(_ grant: LockGrant) async throws {}
}

private struct NoCache: Cache {
    func values<Value: Codable & Sendable>(
        for keys: [String],
        as type: Value.Type,
        options: CacheOptions,
        compute: @Sendable @escaping ([String]) async throws -> [String: Value]
    ) async throws -> [String: Value] {
        try await compute(keys)
    }

    func set<Value: Codable & Sendable>(_ value: Value, for key: String, options: CacheOptions) async throws {}
    func remove(_ keys: [String]) async throws {}
    func removeAll(tag: String) async throws {}
}

private struct OpenSharedLock: SharedLock {
    func lock(for share: LockShare) -> any DistributedLock { OpenLock() }
}

private struct NoLimit: RateLimiter {
    let clock = AnyClock.continuous

    func reserve(
        _ key: String,
        permits: Int,
        limit: RateLimit,
        wait: Duration
    ) async throws -> RateLimitDecision {
        RateLimitDecision(isGranted: true, delay: .zero, remaining: limit.burst - permits)
    }
}

private struct NoInbox: Inbox {
    func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        .new(InboxClaim(key: key, fence: 1))
    }

    func renew(_ claim: InboxClaim, lease: Duration) async throws {}
    func complete(_ claim: InboxClaim, retention: Duration) async throws {}
    func abandon(_ claim: InboxClaim) async throws {}
}
