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

/// The nodes of requesters, of which few new ones are admitted in an hour.
///
/// A broker before RabbitMQ 4.2 keeps the node of every address that it decodes until it ends, and crashes after about a
/// million of them. A cluster has only a few nodes, so a larger number of them is forged.
final class ReplyNodes: Sendable {
    /// The maximum number of new nodes in a period.
    static let maximumNew = 64
    /// The period.
    static let period = Duration.seconds(3600)

    private struct State {
        var known: Set<ArraySlice<UInt8>> = []
        var start: MonotonicTime?
        var new = 0
    }

    private let state = Locked(State())

    /// Returns a Boolean value indicating whether replies may be sent to requesters on a node.
    func admits(_ node: ArraySlice<UInt8>, now: MonotonicTime = .now) -> Bool {
        state.withLock { state in
            if state.known.contains(node) { return true }
            if state.start.map({ $0.duration(to: now) >= Self.period }) ?? true {
                state.start = now
                state.new = 0
            }
            guard state.new < Self.maximumNew else { return false }
            state.new += 1
            // Nodes that still exist are admitted again soon.
            if state.known.count >= 64 * Self.maximumNew { state.known = [] }
            state.known.insert(node)
            return true
        }
    }
}
