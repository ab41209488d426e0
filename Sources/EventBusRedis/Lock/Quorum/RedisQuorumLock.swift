public import EventBus

/// A ``/EventBus/DistributedLock`` over several independent Redis servers: it is held by whoever holds it on a majority
/// of them, so it survives the loss of a minority (Redlock, as the Redis documentation describes it).
///
/// ```swift
/// let lock = RedisQuorumLock(try addresses.map { try RedisClient(RedisConfiguration(uri: $0), logger: logger) })
/// ```
///
/// The servers have to be independent: no replicas of each other. A grant takes three round trips: a turn in the line,
/// which the first server that answers keeps; the resource on a majority; and the fencing token, which is written back to
/// a majority before the grant is given, so that the next holder's is greater whichever majority that one meets.
///
/// What holds and what does not is told in <doc:LockingWithRedis>: in short, exclusion holds for as long as fewer servers
/// than a majority lose their memory within a time to live; the fencing token has to be checked where the effect is, as
/// with any lock; and the order of arrival is kept only while all processes reach the same first server.
public final class RedisQuorumLock: DistributedLock, LeaseRenewing {
    /// One of the servers.
    struct Member: Sendable {
        let client: RedisClient
        /// The line in front of the resource. It is for order and wake-ups only; what excludes is the majority.
        let turn: RedisLock
        let cleanup: RedisCleanup
    }

    /// The time by which leases and waits are measured.
    public let clock: AnyClock
    let members: [Member]
    let prefix: String
    /// How long a server may take to answer.
    let askTime: Duration
    let book: LockBook
    private let renewals: LeaseRenewals
    /// Why it can grant nothing: a server is listed twice.
    private let misconfiguration: EventBusError?
    /// Until when a server is asked for a turn only after the others, since it has not answered.
    let suspicions: Locked<[AnyClock.Instant?]>

    /// A lock on the servers of `clients`.
    ///
    /// - Parameters:
    ///   - clients: the connections, one for each server, none of them twice; three at least, best an odd number, and in the same order in
    ///     each process: the first that answers keeps the line.
    ///   - prefix: what the keys begin with; without braces. Locks with different prefixes do not see each other, nor
    ///     does a ``RedisLock`` with the same prefix see this one.
    ///   - handOverTime: how long a waiter whose turn it is may take to say that it is there, before it is the next one's;
    ///     500 ms unless stated.
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
                // Another server can keep the line.
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
        self.misconfiguration = Self.duplicate(clients.map(\.configuration.endpoint)).map { first, second in
            .listedTwice(first, second, "have the same address")
        }
    }

    /// Throws if two of the servers that were reached are one: it would count twice, and its loss would cost the majority.
    func requireDifferentServers() throws {
        // Those that do not say who they are differ in their addresses at least.
        let identities = members.map(\.client.serverRunID)
        let known = identities.indices.filter { identities[$0] != nil }
        if let (first, second) = Self.duplicate(known.map { identities[$0] }) {
            throw EventBusError.listedTwice(known[first], known[second], "lead to the same Redis server")
        }
    }

    /// The positions of two elements that are equal.
    private static func duplicate<Element: Hashable>(_ elements: [Element]) -> (Int, Int)? {
        var positions: [Element: Int] = [:]
        for (position, element) in elements.enumerated() {
            if let first = positions.updateValue(position, forKey: element) { return (first, position) }
        }
        return nil
    }

    /// Asks for `resource` and waits for it for at most `wait`.
    ///
    /// - Throws: as the protocol says; `.unavailable` when no majority of the servers answered, or when that took so long
    ///   that nothing was left of the lease; `.invalidConfiguration` when one server is listed twice.
    public func acquire(_ resource: String, ttl: Duration, wait: Duration) async throws -> LockGrant {
        if let misconfiguration { throw misconfiguration }
        return try await book.acquisition { try await acquireUncounted(resource, ttl: ttl, wait: wait) }
    }

    /// Makes a grant valid for its whole time to live again, if a majority still holds it.
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

    /// Gives the resource back on every server, and the turn to the first in line.
    ///
    /// It ends when a majority has answered, within the time of one command; the others are told until they answer, for as
    /// long as the grant may last.
    public func release(_ grant: LockGrant) async throws {
        let holder = try QuorumHolder(grant, members: members.count)
        let keys = QuorumKeys(prefix: prefix, resource: grant.resource)
        // Not sent again: "expired" would then mean two things.
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
        await members[holder.usher].turn.giveBack(holder.turn(grant), grace: RedisLock.grace)
        switch poll.tally.decision {
        case .granted: book.ended(grant, isConfirmed: true)
        case .refused where poll.tally.refused > members.count - poll.tally.quorum: throw lost(grant, poll)
        default:
            book.ended(grant)
            throw EventBusError(.indeterminate, "too few servers answered to a release of '\(grant.resource)'")
        }
    }

    /// Gives the resource back without waiting for the servers.
    public func abandon(_ grant: LockGrant) {
        guard let holder = try? QuorumHolder(grant, members: members.count) else { return }
        book.ended(grant)
        let step = releaseStep(holder.token, QuorumKeys(prefix: prefix, resource: grant.resource), grant.ttl)
        for member in members { member.cleanup.start(step) }
        members[holder.usher].turn.abandon(holder.turn(grant))
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
