import ConnectionThread
import EventBus

/// The queues to which replies may be sent.
///
/// A request names its reply queue itself, so a publisher could make a responder write into any queue. The
/// pseudo-queues of direct reply-to are always allowed if they have the form of the names that the broker creates, because
/// they lead to their requester only.
struct ReplyQueues: Sendable {
    /// The names, or beginnings of names that end in `*`.
    private let allowed: [String]
    private let nodes = ReplyNodes()

    init(allowed: [String] = []) {
        self.allowed = allowed
    }

    /// Notes the release of the broker on which replies are sent from now on.
    func connected(to brokerVersion: String) {
        nodes.connected(to: brokerVersion)
    }

    /// Returns a Boolean value indicating whether a reply may be sent to the queue called `name`.
    func contains(_ name: String) -> Bool {
        // Also if an entry matches: another form would close the connection.
        if name.beginsWithBytes(of: DirectReplyAddress.prefix) {
            return DirectReplyAddress.node(of: name).map { nodes.admits($0) } ?? false
        }
        return allowed.contains { entry in
            entry.hasSuffix("*")
                ? name.beginsWithBytes(of: String(entry.dropLast())) : name.utf8.elementsEqual(entry.utf8)
        }
    }
}

/// The nodes of requesters, of which few new ones are admitted.
///
/// A broker before RabbitMQ 4.2 keeps the node of every address that it decodes until it ends, and crashes after about a
/// million of them. A cluster has only a few nodes, so a larger number of them is forged. Forged ones use up the places of
/// genuine ones, so places become free again one by one, and not all together after a long time.
final class ReplyNodes: Sendable {
    /// The maximum number of new nodes at once.
    static let maximumNew = 64
    /// The time after which one more is admitted.
    static let period = Duration.seconds(60)

    private struct State {
        var isLimited = true
        var known: Set<ArraySlice<UInt8>> = []
        var free = ReplyNodes.maximumNew
        /// The time up to which places have become free.
        var refilled: MonotonicTime?
    }

    private let state = Locked(State())

    /// Notes the release of the broker, such as `3.10.8`. Without one, the number stays limited.
    func connected(to brokerVersion: String) {
        let parts = brokerVersion.split(separator: ".").prefix(2).map { Int($0) ?? 0 }
        let isLimited = parts.count < 2 || (parts[0], parts[1]) < (4, 2)
        state.withLock { $0.isLimited = isLimited }
    }

    /// Returns a Boolean value indicating whether replies may be sent to requesters on a node.
    func admits(_ node: ArraySlice<UInt8>, now: MonotonicTime = .now) -> Bool {
        state.withLock { state in
            if !state.isLimited || state.known.contains(node) { return true }
            var refilled = state.refilled ?? now
            while state.free < Self.maximumNew, refilled.duration(to: now) >= Self.period {
                state.free += 1
                refilled = refilled.advanced(by: Self.period)
            }
            state.refilled = state.free == Self.maximumNew ? now : refilled
            guard state.free > 0 else { return false }
            state.free -= 1
            // Nodes that still exist are admitted again soon.
            if state.known.count >= 64 * Self.maximumNew { state.known = [] }
            state.known.insert(node)
            return true
        }
    }
}
