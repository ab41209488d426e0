import ConnectionThread
public import EventBus

/// An ``/EventBus/Inbox`` on one Redis server.
///
/// ```swift
/// let inbox = RedisInbox(redis)
/// ```
///
/// It suppresses duplicates. It does not make an effect happen exactly once: if a process is killed between the effect
/// and the record, the event is handled again. Where that must not happen, write the effect and the record in one SQL
/// transaction. A server that loses its memory forgets which events were handled. A server that evicts keys forgets
/// them one by one, so use the `noeviction` policy.
public final class RedisInbox: Inbox {
    private let client: RedisClient
    private let prefix: String
    private let cleanup: RedisCleanup
    let renewals: ClaimRenewals

    /// Creates an inbox on the server of `client`.
    ///
    /// - Parameters:
    ///   - client: The connection to the server.
    ///   - prefix: The prefix of the keys, without braces. Inboxes with different prefixes are independent.
    public init(_ client: RedisClient, prefix: String = "eventbus") {
        precondition(!prefix.contains("{") && !prefix.contains("}"), "the prefix of keys cannot have braces")
        self.client = client
        self.prefix = prefix
        self.cleanup = RedisCleanup(client)
        self.renewals = Self.renewals(over: client, prefix: prefix)
    }

    /// Claims an event for a subscription, unless it is completed or another claim on it is active.
    ///
    /// If no reply arrives, a claim that may have been made is withdrawn as soon as the server answers again. The event
    /// then does not have to wait for the end of a lease that nobody holds.
    public func begin(_ inboxKey: InboxKey, lease: Duration) async throws -> InboxDecision {
        try await begin(inboxKey, lease: lease, onClaim: nil)
    }

    /// Claims an event.
    ///
    /// - Parameter onClaim: A brief closure that is called on a connection's thread when a claim was made, before the caller
    ///   is resumed.
    func begin(
        _ inboxKey: InboxKey,
        lease: Duration,
        onClaim: (@Sendable (InboxClaim) -> Void)?
    ) async throws -> InboxDecision {
        let key = key(inboxKey)
        let request = RedisArgument.text(.randomHexadecimal(words: 1))
        var onReply: (@Sendable (RedisValue) -> Void)?
        if let onClaim {
            onReply = { reply in
                if case .new(let claim)? = Self.decision(reply, for: inboxKey) { onClaim(claim) }
            }
        }
        let reply: RedisValue
        do {
            reply = try await client.run(
                InboxScripts.begin,
                keys: [key],
                [.integer(lease.wholeMilliseconds), request],
                isIdempotent: true,
                // A claim that nobody knows of would delay the event.
                isCancellable: false,
                onReply: onReply
            )
        } catch let error as EventBusError where error.code == .indeterminate {
            cleanup.start(
                RedisCleanup.Step(script: InboxScripts.withdraw, keys: [key], arguments: [request], limit: lease)
            )
            throw error
        }
        guard let decision = Self.decision(reply, for: inboxKey) else {
            throw EventBusError(.unavailable, "Redis answered an inbox script with something that makes no sense")
        }
        return decision
    }

    /// Reads the reply to ``InboxScripts/begin``. Returns `nil` if it makes no sense.
    private static func decision(_ reply: RedisValue, for key: InboxKey) -> InboxDecision? {
        let parts = reply.array ?? []
        switch parts.first?.text {
        case "completed":
            let digest = parts.dropFirst().first?.text.flatMap { UInt64($0, radix: 16) }
            return key.decision(completedWith: digest)
        case "inProgress":
            return parts.dropFirst().first?.integer.map { .inProgress(retryAfter: .milliseconds(max(1, $0))) }
        case "new":
            let fence = parts.dropFirst().first?.text.flatMap { UInt64($0) }
            return fence.map { .new(InboxClaim(key: key, fence: $0)) }
        default: return nil
        }
    }

    /// Extends an active claim.
    public func renew(_ claim: InboxClaim, lease: Duration) async throws {
        let reply = try await client.run(
            InboxScripts.renew,
            keys: [key(claim.key)],
            [.text("\(claim.fence)"), .integer(lease.wholeMilliseconds)],
            isIdempotent: true,
            isCancellable: false
        )
        guard reply.text == "renewed" else { throw EventBusError.notInForce(claim) }
    }

    /// Records that the event was handled. The call completes even if the calling task is cancelled.
    public func complete(_ claim: InboxClaim, retention: Duration) async throws {
        let reply = try await client.run(
            InboxScripts.complete,
            keys: [key(claim.key)],
            [
                .text("\(claim.fence)"), .integer(retention.wholeMilliseconds),
                .text(claim.key.payloadDigest.map { String($0, radix: 16) } ?? ""),
            ],
            isIdempotent: true,
            isCancellable: false
        )
        guard reply.text != "recorded" else { return }
        throw EventBusError.replaced(claim, isCompleted: reply.text == "c")
    }

    /// Ends a claim, so that the event can be claimed again immediately. The call completes even if the calling task is
    /// cancelled.
    ///
    /// If no reply arrives, the claim is ended as soon as the server answers again. The event then does not have to wait
    /// for the end of the lease.
    public func abandon(_ claim: InboxClaim) async throws {
        let step = RedisCleanup.Step(
            script: InboxScripts.abandon,
            keys: [key(claim.key)],
            arguments: [.text("\(claim.fence)")],
            limit: .seconds(3600)
        )
        do {
            _ = try await client.run(
                step.script,
                keys: step.keys,
                step.arguments,
                isIdempotent: true,
                isCancellable: false
            )
        } catch {
            cleanup.start(step)
            throw error
        }
    }

    private func key(_ key: InboxKey) -> String { Self.key(key, prefix: prefix) }

    static func key(_ key: InboxKey, prefix: String) -> String {
        "\(prefix):inbox:\(RedisKeys.tag(key.subscription, key.topic.rawValue, key.eventID.rawValue))"
    }
}
