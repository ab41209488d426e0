import EventBus
import EventBusInMemory

/// An in-memory inbox whose calls fail or wait as scripted.
final class ScriptedInbox: Inbox {
    enum Call: Hashable, Sendable {
        case begin, renew, complete, abandon
    }

    struct Counts: Sendable {
        var begins = 0
        var renewals = 0
        var completions = 0
        var abandonments = 0
    }

    struct StoreError: Error {}

    private struct State: Sendable {
        var counts = Counts()
        var failingBegins = 0
        var failingRenewals = 0
        var failingCompletions = 0
    }

    private let inbox: InMemoryInbox
    private let state = Locked(State())
    private let during: @Sendable (Call, InboxKey) async throws -> Void

    /// Creates an inbox.
    ///
    /// - Parameter during: A closure that runs inside each call.
    init(
        clock: some Clock<Duration>,
        during: @escaping @Sendable (Call, InboxKey) async throws -> Void = { _, _ in }
    ) {
        self.inbox = InMemoryInbox(clock: clock)
        self.during = during
    }

    var counts: Counts { state.withLock { $0.counts } }

    func fail(begins: Int = 0, renewals: Int = 0, completions: Int = 0) {
        state.withLock { state in
            state.failingBegins = begins
            state.failingRenewals = renewals
            state.failingCompletions = completions
        }
    }

    func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        let fails = state.withLock { state in
            // A subscription asks for an event that does not exist to learn whether all calls fail.
            if key.topic == "eventbus.inbox-check" { return state.failingBegins > 0 }
            state.counts.begins += 1
            defer { state.failingBegins = max(0, state.failingBegins - 1) }
            return state.failingBegins > 0
        }
        try await during(.begin, key)
        // An error of a driver, as third-party inboxes throw it.
        if fails { throw StoreError() }
        return try await inbox.begin(key, lease: lease)
    }

    func renew(_ claim: InboxClaim, lease: Duration) async throws {
        let fails = state.withLock { state in
            state.counts.renewals += 1
            defer { state.failingRenewals = max(0, state.failingRenewals - 1) }
            return state.failingRenewals > 0
        }
        try await during(.renew, claim.key)
        if fails { throw StoreError() }
        try await inbox.renew(claim, lease: lease)
    }

    func complete(_ claim: InboxClaim, retention: Duration) async throws {
        let fails = state.withLock { state in
            state.counts.completions += 1
            defer { state.failingCompletions = max(0, state.failingCompletions - 1) }
            return state.failingCompletions > 0
        }
        try await during(.complete, claim.key)
        if fails { throw StoreError() }
        try await inbox.complete(claim, retention: retention)
    }

    func abandon(_ claim: InboxClaim) async throws {
        state.withLock { $0.counts.abandonments += 1 }
        try await during(.abandon, claim.key)
        try await inbox.abandon(claim)
    }
}
