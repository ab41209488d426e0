import ConnectionThread
public import EventBus

/// A ``/EventBus/DistributedLock`` over several independent Redis servers. Its holder is the one that holds it on a
/// majority of them, so it survives the loss of a minority (Redlock, as described in the Redis documentation).
///
/// ```swift
/// let lock = RedisQuorumLock(try addresses.map { try RedisClient(RedisConfiguration(uri: $0), logger: logger) })
/// ```
///
/// The servers have to be independent and must not be replicas of each other. A grant takes three round trips. The
/// first one obtains a turn in the queue, which the first server that answers keeps. The second one obtains the
/// resource on a majority. The third one writes the fencing token back to a majority, so that the next holder's token
/// is greater, whichever majority grants it.
///
/// <doc:LockingWithRedis> describes the guarantees. In short: mutual exclusion holds as long as no majority of the
/// servers loses its memory within one time to live. The fencing token has to be checked where the effect happens, as
/// with any lock. The order of arrival is kept only while all processes reach the same first server.
public final class RedisQuorumLock: DistributedLock, LeaseRenewing {
    /// One of the servers.
    struct Member: Sendable {
        let client: RedisClient
        /// The queue for the resource. It only provides order and wake-ups. The majority provides mutual exclusion.
        let turn: RedisLock
        let cleanup: RedisCleanup
    }

    /// The clock that measures leases and waits.
    public let clock: AnyClock
    let members: [Member]
    let prefix: String
    /// The time that a server may take to answer.
    let askTime: Duration
    let book: LockBook
    private let renewals: LeaseRenewals<LockGrant>
    /// The error that makes every acquisition fail, because a server is listed twice.
    private let misconfiguration: EventBusError?
    /// The times until which servers that did not answer are asked for a turn only after the others.
    let suspicions: Locked<[AnyClock.Instant?]>

    /// Creates a lock on the servers of `clients`.
    ///
    /// - Parameters:
    ///   - clients: The connections, one for each server, without duplicates. Use at least three, preferably an odd
    ///     number, and the same order in each process: the first server that answers keeps the queue.
    ///   - prefix: The prefix of the keys, without braces. Locks with different prefixes are independent. A
    ///     ``RedisLock`` with the same prefix is independent of this lock, too.
    ///   - handOverTime: The time within which a waiter whose turn it is has to respond before the turn passes to the
    ///     next one, at least 50 ms and at most one hour. Defaults to 500 ms.
    public init(_ clients: [RedisClient], prefix: String = "eventbus", handOverTime: Duration = .milliseconds(500)) {
        precondition(clients.count >= 3, "a majority that survives the loss of a server takes three servers")
        let clock = AnyClock.continuous
        self.clock = clock
        self.prefix = prefix
        let members = clients.map { client in
            let turn = RedisLock(
                client,
                prefix: "\(prefix):turn",
                handOverTime: handOverTime,
                // Another server can keep the queue.
                askTime: min(.milliseconds(250), client.configuration.commandTimeout),
                outlivesOutages: false,
                metrics: nil
            )
            return Member(client: client, turn: turn, cleanup: RedisCleanup(client))
        }
        self.members = members
        let askTime = clients.map(\.configuration.commandTimeout).max() ?? .seconds(2)
        self.askTime = askTime
        self.renewals = LeaseRenewals(clock: clock, thread: clients[0].thread) { grant, done in
            QuorumRenewal(members: members, prefix: prefix, askTime: askTime, clock: clock).send(grant, done)
        }
        self.book = LockBook(clock: clock, metrics: LockMetrics(prefix: prefix))
        self.suspicions = Locked(Array(repeating: nil, count: clients.count))
        if clients.contains(where: \.isCluster) {
            self.misconfiguration = EventBusError(
                .invalidConfiguration,
                "a quorum consists of independent servers, and one of the clients is that of a Redis cluster; use a RedisLock"
            )
        } else {
            self.misconfiguration = Self.duplicate(clients.map(\.configuration.endpoint)).map { first, second in
                .listedTwice(first, second, "have the same address")
            }
        }
    }

    /// Throws if two of the connected servers are the same. It would count twice, and its loss would cost the majority.
    func requireDifferentServers() throws {
        // Servers that do not tell their identity are compared by their addresses.
        let identities = members.map(\.client.serverRunID)
        let known = identities.indices.filter { identities[$0] != nil }
        if let (first, second) = Self.duplicate(known.map { identities[$0] }) {
            throw EventBusError.listedTwice(known[first], known[second], "lead to the same Redis server")
        }
    }

    /// Returns the positions of two elements that are equal.
    private static func duplicate<Element: Hashable>(_ elements: [Element]) -> (Int, Int)? {
        var positions: [Element: Int] = [:]
        for (position, element) in elements.enumerated() {
            if let first = positions.updateValue(position, forKey: element) { return (first, position) }
        }
        return nil
    }

    /// Requests `resource` and waits for it for at most `wait`.
    ///
    /// - Throws: The errors of the protocol; `.unavailable` if no majority of the servers answered, or if that took so
    ///   long that nothing was left of the lease; the error of a server if so many of them are out of memory or reject the
    ///   command that there can be no majority, immediately; `.invalidConfiguration` if one server is listed twice, or if `ttl`
    ///   is less than the possible drift of the clocks.
    public func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        if let misconfiguration { throw misconfiguration }
        try RedisLock.requireLease(resource, ttl)
        return try await book.acquisition { try await acquireUncounted(resource, ttl: ttl, wait: wait) }
    }

    /// Renews a grant for its whole time to live if a majority still holds it.
    public func renew(_ grant: LockGrant) async throws -> AnyClock.Instant {
        let renewal = QuorumRenewal(members: members, prefix: prefix, askTime: askTime, clock: clock)
        do {
            let end = try await withCheckedThrowingContinuation { continuation in
                renewal.send(grant) { continuation.resume(with: $0) }
            }
            book.renewed(grant, until: end)
            return end
        } catch let error as EventBusError where error.code == .lockNotOwned || error.code == .leaseExpired {
            book.lost(grant)
            throw error
        }
    }

    package func startRenewing(
        _ grant: LockGrant,
        onOutcome: @escaping @Sendable (Result<AnyClock.Instant, any Error>) -> Void
    ) {
        renewals.begin(grant) { [weak self] outcome in
            switch outcome {
            case .success(let end): self?.book.renewed(grant, until: end)
            case .failure(let error as EventBusError) where error.code == .lockNotOwned || error.code == .leaseExpired:
                self?.book.lost(grant)
            case .failure: break
            }
            onOutcome(outcome)
        }
    }

    package func stopRenewing(_ grant: LockGrant) {
        renewals.end(grant)
    }

    /// Releases the resource on every server, and passes the turn to the first waiter.
    ///
    /// The call returns when a majority has answered, within the time of one command. The others are asked until they
    /// answer, for as long as the grant may last.
    public func release(_ grant: LockGrant) async throws {
        let holder = try QuorumHolder(grant, members: members.count)
        let keys = QuorumKeys(prefix: prefix, resource: grant.resource)
        // Not sent again, because "expired" would then be ambiguous.
        let poll = try await withoutCancellation { [self] in
            try await ask(
                QuorumScripts.release,
                keys: keys.all,
                [.text(holder.token)],
                isIdempotent: false,
                limit: askTime
            ) { $0.text == "released" ? .granted : .refused }
        }
        for (index, member) in members.enumerated() where poll.replies[index] == nil {
            member.cleanup.start(releaseStep(holder.token, keys, grant.ttl))
        }
        await members[holder.queueServer].turn.giveBack(holder.turn(grant), grace: RedisLock.grace)
        switch poll.tally.decision {
        case .granted: book.ended(grant, isConfirmed: true)
        case .refused where poll.tally.refused > members.count - poll.tally.quorum: throw lost(grant, poll)
        default:
            book.ended(grant)
            throw EventBusError(
                .indeterminate,
                "too few servers answered to a release of '\(grant.resource)'",
                underlying: poll.errors.last
            )
        }
    }

    /// Releases the resource without waiting for the servers.
    public func abandon(_ grant: LockGrant) {
        guard let holder = try? QuorumHolder(grant, members: members.count) else { return }
        book.ended(grant)
        let step = releaseStep(holder.token, QuorumKeys(prefix: prefix, resource: grant.resource), grant.ttl)
        for member in members { member.cleanup.start(step) }
        members[holder.queueServer].turn.abandon(holder.turn(grant))
    }

    private func lost(_ grant: LockGrant, _ poll: Poll) -> EventBusError {
        book.lost(grant)
        let isForeign = poll.replies.contains { $0?.text == "foreign" }
        return isForeign ? .lockNotOwned(grant) : .leaseExpired(grant)
    }
}

extension EventBusError {
    fileprivate static func listedTwice(_ first: Int, _ second: Int, _ reason: String) -> EventBusError {
        EventBusError(
            .invalidConfiguration,
            """
            the clients at \(first) and \(second) of a quorum lock \(reason), which would count twice; \
            list independent servers
            """
        )
    }
}
