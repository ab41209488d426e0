public import EventBus

/// A conformance suite for implementations of ``/EventBus/Inbox``.
///
/// ```swift
/// let inbox = InMemoryInbox()
/// let checks = InboxConformance { inbox }.checks
/// ```
///
/// It uses real time with bounded waits, so that the store may be behind a network. Each check uses separate events, so
/// checks may run concurrently.
public struct InboxConformance: Sendable {
    private let make: @Sendable () async throws -> any Inbox
    private let short: Duration

    /// Creates a suite for the inboxes that `make` returns.
    ///
    /// - Parameters:
    ///   - lease: The short lease that checks wait out. Defaults to 100 ms.
    ///   - make: A closure that returns an instance on the store under test. Each check calls it twice, to model two
    ///     processes.
    public init(lease: Duration = .milliseconds(100), make: @escaping @Sendable () async throws -> any Inbox) {
        self.short = lease
        self.make = make
    }

    /// The checks, each for one statement of the contract.
    public var checks: [ConformanceCheck] {
        [
            check("an event is new, then in progress, then completed") { setup in
                let claim = try await setup.claim(setup.one)
                try expect(claim.key == setup.key, "the claim is on \(claim.key)")
                for inbox in [setup.one, setup.other] {
                    let decision = try await setup.begin(inbox)
                    guard case .inProgress(let retryAfter) = decision else {
                        throw ConformanceFailure("a claimed event is \(decision)")
                    }
                    try expect(retryAfter > .zero && retryAfter <= setup.long, "it says to retry after \(retryAfter)")
                }
                try await setup.one.complete(claim, retention: setup.long)
                try await setup.expectCompleted()
            },
            check("an abandoned event can be claimed again immediately, with a greater fence") { setup in
                let first = try await setup.claim(setup.one)
                try await setup.one.abandon(first)
                let second = try await setup.claim(setup.other)
                try expect(second.fence > first.fence, "fence \(second.fence) came after \(first.fence)")
            },
            check("an expired claim can be taken over, with a greater fence") { setup in
                let (first, second) = try await setup.takeOver()
                try expect(second.fence > first.fence, "fence \(second.fence) came after \(first.fence)")
            },
            check("a late completion is refused while another claim is active, and after it was completed") { setup in
                let (late, claim) = try await setup.takeOver()
                try await expectError(.leaseExpired, from: "complete") {
                    try await setup.one.complete(late, retention: setup.long)
                }
                guard case .inProgress = try await setup.begin(setup.one) else {
                    throw ConformanceFailure("the late completion ended the claim in force")
                }
                try await setup.other.complete(claim, retention: setup.long)
                try await expectError(.leaseExpired, from: "complete") {
                    try await setup.one.complete(late, retention: setup.long)
                }
            },
            check("a late completion counts if nobody has claimed the event since") { setup in
                let claim = try await setup.claim(setup.one, lease: setup.short)
                try await ContinuousClock().sleep(for: setup.short * 2)
                try await setup.one.complete(claim, retention: setup.long)
                try await setup.expectCompleted()
            },
            check("a late abandonment does not affect the active claim") { setup in
                let (late, claim) = try await setup.takeOver()
                try await setup.one.abandon(late)
                guard case .inProgress = try await setup.begin(setup.one) else {
                    throw ConformanceFailure("the late abandonment ended the claim in force")
                }
                try await setup.other.complete(claim, retention: setup.long)
            },
            check("completing twice does no harm, and a completed event cannot be abandoned") { setup in
                let claim = try await setup.claim(setup.one)
                try await setup.one.complete(claim, retention: setup.long)
                try await setup.one.complete(claim, retention: setup.long)
                try await setup.one.abandon(claim)
                try await setup.expectCompleted()
            },
            check("each subscription has separate records") { setup in
                let claim = try await setup.claim(setup.one)
                try await setup.one.complete(claim, retention: setup.long)
                var key = setup.key
                key.subscription = "other.handler"
                let other = try await setup.other.begin(key, lease: setup.long)
                guard case .new = other else {
                    throw ConformanceFailure("for another subscription the event is \(other)")
                }
            },
            check("two events with one id and different topics are two events") { setup in
                let claim = try await setup.claim(setup.one)
                var key = setup.key
                key.topic = "conformance.other"
                guard case .new(let other) = try await setup.other.begin(key, lease: setup.long) else {
                    throw ConformanceFailure("the claim on one topic's event keeps out another topic's")
                }
                try await setup.one.complete(claim, retention: setup.long)
                guard case .inProgress = try await setup.one.begin(key, lease: setup.long) else {
                    throw ConformanceFailure("the record of one topic's event counts for another topic's")
                }
                try await setup.other.abandon(other)
                try await setup.expectCompleted()
            },
            check("an event with another payload is a duplicate that is told apart") { setup in
                var key = setup.key
                key.payloadDigest = .max
                guard case .new(let claim) = try await setup.one.begin(key, lease: setup.long) else {
                    throw ConformanceFailure("a new event should be claimed")
                }
                try await setup.one.complete(claim, retention: .seconds(60))
                for inbox in [setup.one, setup.other] {
                    for (digest, expected) in [
                        (UInt64.max, InboxDecision.completed), (1, .completedWithOtherPayload), (nil, .completed),
                    ] as [(UInt64?, InboxDecision)] {
                        key.payloadDigest = digest
                        let decision = try await inbox.begin(key, lease: setup.long)
                        try expect(decision == expected, "the digest \(String(describing: digest)) is \(decision)")
                    }
                }
            },
            check("a renewed claim outlives its first lease, and can be completed") { setup in
                let (claim, lease) = try await setup.renewedClaim()
                try await ContinuousClock().sleep(for: lease * 2)
                guard case .inProgress(let retryAfter) = try await setup.begin(setup.other) else {
                    throw ConformanceFailure("the renewed claim ran out")
                }
                try expect(retryAfter <= setup.long, "it says to retry after \(retryAfter)")
                try await setup.one.complete(claim, retention: setup.long)
                try await setup.expectCompleted()
            },
            check("a claim that is no longer active cannot be renewed") { setup in
                let abandoned = try await setup.claim(setup.one)
                try await setup.one.abandon(abandoned)
                try await expectError(.leaseExpired, from: "renew") {
                    try await setup.one.renew(abandoned, lease: setup.long)
                }
                let (late, claim) = try await setup.takeOver()
                try await expectError(.leaseExpired, from: "renew") {
                    try await setup.one.renew(late, lease: setup.long)
                }
                try await setup.other.complete(claim, retention: setup.long)
                try await expectError(.leaseExpired, from: "renew") {
                    try await setup.one.renew(late, lease: setup.long)
                }
            },
            check("renewing a completed claim does no harm") { setup in
                let claim = try await setup.claim(setup.one)
                try await setup.one.complete(claim, retention: setup.long)
                try await setup.one.renew(claim, lease: setup.short)
                try await ContinuousClock().sleep(for: setup.short * 2)
                try await setup.expectCompleted()
            },
            check("any text identifies an event, byte by byte") { setup in
                let texts = [
                    "\(setup.id):x", "{\(setup.id)} \u{E9}\n", "{\(setup.id)} e\u{301}\n", "\(setup.id)\0",
                    "\(setup.id)\0x",
                    "\(setup.id)".padded(to: 255),
                ]
                for text in texts {
                    var key = setup.key
                    key.eventID = EventID(text)
                    guard case .new(let claim) = try await setup.one.begin(key, lease: setup.long) else {
                        throw ConformanceFailure("an event that was never seen is not new: '\(text)'")
                    }
                    try await setup.one.complete(claim, retention: setup.long)
                }
            },
            check("a completion is forgotten after its retention") { setup in
                let claim = try await setup.claim(setup.one)
                try await setup.one.complete(claim, retention: setup.short)
                try await eventually("the event should be new again after its retention") {
                    if case .new = try await setup.begin(setup.other) { true } else { false }
                }
            },
            check("of many concurrent callers, one gets the claim") { setup in
                let claims = EventLog<InboxClaim>()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<50 {
                        let inbox = number.isMultiple(of: 2) ? setup.one : setup.other
                        group.addTask {
                            if case .new(let claim) = try await setup.begin(inbox) { claims.note(claim) }
                        }
                    }
                    try await group.waitForAll()
                }
                try expect(claims.count == 1, "\(claims.count) got the claim")
            },
        ]
    }

    fileprivate struct Setup: Sendable {
        /// The first of two instances on one store.
        let one: any Inbox
        let other: any Inbox
        let id = EventID()
        var key: InboxKey { InboxKey(topic: "conformance.event", eventID: id, subscription: "conformance.handler") }
        let short: Duration
        /// A lease that exceeds the duration of the check.
        let long = Duration.seconds(60)
    }

    private func check(_ name: String, _ body: @escaping @Sendable (Setup) async throws -> Void) -> ConformanceCheck {
        ConformanceCheck(name) { [make, short] in
            try await body(Setup(one: make(), other: make(), short: short))
        }
    }
}

extension InboxConformance.Setup {
    fileprivate func begin(_ inbox: any Inbox) async throws -> InboxDecision {
        try await inbox.begin(key, lease: long)
    }

    fileprivate func claim(_ inbox: any Inbox, lease: Duration? = nil) async throws -> InboxClaim {
        let decision = try await inbox.begin(key, lease: lease ?? long)
        guard case .new(let claim) = decision else {
            throw ConformanceFailure("an event that nobody has claimed is \(decision)")
        }
        return claim
    }

    /// Returns a claim that was renewed for a long time, and its first lease.
    fileprivate func renewedClaim() async throws -> (InboxClaim, Duration) {
        var lease = short
        while true {
            let claim = try await claim(one, lease: lease)
            do {
                try await one.renew(claim, lease: long)
                return (claim, lease)
            } catch let error as EventBusError where error.code == .leaseExpired && lease < .seconds(10) {
                // The machine is busy, and the renewal came too late.
                lease *= 4
            }
        }
    }

    /// Returns an expired claim and the one that replaced it.
    fileprivate func takeOver() async throws -> (late: InboxClaim, inForce: InboxClaim) {
        let late = try await claim(one, lease: short)
        let taken = EventLog<InboxClaim>()
        try await eventually("a claim should run out after its lease of \(short)") {
            guard case .new(let claim) = try await begin(other) else { return false }
            taken.note(claim)
            return true
        }
        return (late, taken.entries[0])
    }

    fileprivate func expectCompleted() async throws {
        for inbox in [one, other] {
            let decision = try await begin(inbox)
            try expect(decision == .completed, "a completed event is \(decision)")
        }
    }
}

extension String {
    fileprivate func padded(to length: Int) -> String {
        self + String(repeating: "x", count: max(0, length - utf8.count))
    }
}
