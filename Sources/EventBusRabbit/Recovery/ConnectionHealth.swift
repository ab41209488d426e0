import ConnectionThread
import EventBus

/// The state of connections and consumers, which is written by its owners and can be read from anywhere.
final class ConnectionHealth: Sendable {
    /// A connection of a transport.
    enum Role: Hashable, Comparable, Sendable {
        case publish
        /// The connection for consuming with this number, from 0.
        case consuming(Int)
        /// The connection for replies, which exists from the first one on.
        case reply

        /// The connection that exists even without a subscription.
        static let consume = Role.consuming(0)

        var name: String {
            switch self {
            case .publish: "publish"
            case .reply: "reply"
            case .consuming(0): "consume"
            case .consuming(let number): "consume-\(number + 1)"
            }
        }
    }

    private struct Link {
        var isConnected = false
        var blockedReason: String?
        var lastError: String?
        var connections = 0
        /// The time since when there is no connection.
        var lostAt: MonotonicTime?
    }

    private struct Consumer {
        var name: String
        var isAttached: Bool
        var isStopped: Bool
        var lastFailure: AMQPFailure?
        var messages: Int?
        var consumers: Int?
    }

    private struct State {
        var links: [Role: Link] = [.publish: Link(), .consume: Link()]
        var consumers: [UInt64: Consumer] = [:]
        var unroutableDelays = 0
        /// The time since when the group's queue of dead letters has not been empty.
        var deadLettersSince: [String: MonotonicTime] = [:]
        /// The reasons for missing objects that cannot be declared, by the part that needs them.
        var missing: [String: String] = [:]
        var failure: EventBusError?
    }

    private let state = Locked(State())
    private let livenessTimeout: Duration?
    let monitor: TransportMonitor

    init(livenessTimeout: Duration?, monitor: TransportMonitor = TransportMonitor()) {
        self.livenessTimeout = livenessTimeout
        self.monitor = monitor
    }

    /// Records that a connection is attempted for the first time.
    func started(_ role: Role) {
        state.withLock { $0.links[role, default: Link()].lostAt = .now }
    }

    /// A Boolean value indicating whether the broker has accepted one of the connections.
    var wasConnected: Bool { state.withLock { $0.links.values.contains { $0.connections > 0 } } }

    /// Records a missing object on the broker, or with `nil` that nothing is missing any more.
    func setMissing(_ subject: String, _ reason: String?) {
        state.withLock { $0.missing[subject] = reason }
    }

    func connected(_ role: Role) {
        state.withLock { state in
            state.links[role, default: Link()].isConnected = true
            state.links[role, default: Link()].connections += 1
            state.links[role, default: Link()].lostAt = nil
            state.links[role, default: Link()].blockedReason = nil
        }
        monitor.note(.connected, role.name)
    }

    func disconnected(_ role: Role, _ failure: AMQPFailure) {
        let wasConnected = state.withLock { state in
            let wasConnected = state.links[role]?.isConnected ?? false
            state.links[role, default: Link()].isConnected = false
            if state.links[role]?.lostAt == nil { state.links[role, default: Link()].lostAt = .now }
            state.links[role, default: Link()].blockedReason = nil
            state.links[role, default: Link()].lastError = failure.description
            return wasConnected
        }
        if wasConnected { monitor.note(.disconnected, role.name, reason: failure.description) }
    }

    func setBlocked(_ role: Role, reason: String?) {
        let wasBlocked = state.withLock { state in
            defer { state.links[role, default: Link()].blockedReason = reason }
            return state.links[role]?.blockedReason != nil
        }
        if wasBlocked != (reason != nil) {
            monitor.note(reason == nil ? .unblocked : .blocked, role.name, reason: reason)
        }
    }

    func setConsumer(_ id: UInt64, name: String, isAttached: Bool, isStopped: Bool, lastFailure: AMQPFailure?) {
        let wasAttached = state.withLock { state in
            let known = state.consumers[id]
            state.consumers[id] = Consumer(
                name: name,
                isAttached: isAttached,
                isStopped: isStopped,
                lastFailure: lastFailure,
                messages: known?.messages,
                consumers: known?.consumers
            )
            return known?.isAttached ?? false
        }
        if isAttached != wasAttached {
            let reason = isAttached ? nil : lastFailure?.description
            monitor.note(isAttached ? .consumerAttached : .consumerDetached, name, reason: reason)
        }
    }

    /// Records the broker's answer about a consumer's queue.
    ///
    /// - Parameter age: The age of the event that was delivered last, if it was not redelivered or delayed.
    func setBacklog(_ id: UInt64, messages: Int, consumers: Int, age: Duration) {
        let name = state.withLock { state in
            state.consumers[id]?.messages = messages
            state.consumers[id]?.consumers = consumers
            return state.consumers[id]?.name
        }
        guard let name else { return }
        monitor.record(.queue(name, depth: messages, age: messages > 0 ? age : .zero, consumers: consumers))
    }

    func removeConsumer(_ id: UInt64) {
        let removed = state.withLock { $0.consumers.removeValue(forKey: id) }
        if let removed, removed.isAttached { monitor.note(.consumerDetached, removed.name) }
    }

    /// Records the number of dead letters of a group, and that of the consumers of their queue.
    func setDeadLetters(_ count: Int, consumers: Int, of group: String) {
        guard monitor.isMeasuring else { return }
        let since = state.withLock { state in
            let since = count > 0 ? state.deadLettersSince[group] ?? .now : nil
            state.deadLettersSince[group] = since
            return since
        }
        let age = since?.duration(to: .now) ?? .zero
        monitor.record(.deadLetters(group: group, count: count, age: age, consumers: consumers))
    }

    func setUnroutableDelays(_ count: Int) {
        state.withLock { $0.unroutableDelays = count }
    }

    func failed(_ error: EventBusError) {
        state.withLock { $0.failure = error }
    }

    /// Returns a Boolean value indicating whether a connection has been missing for longer than a live service allows.
    private func isLost(_ link: Link) -> Bool {
        guard let livenessTimeout, let lostAt = link.lostAt else { return false }
        return lostAt.duration(to: .now) > livenessTimeout
    }

    /// Returns the report. A prefix names the transport.
    func report(prefix: String, publishDetails: [String: Int]) -> [ComponentHealth] {
        state.withLock { state in
            var components: [ComponentHealth] = []
            for (role, link) in state.links.sorted(by: { $0.key < $1.key }) {
                var details = role == .publish ? publishDetails : [:]
                details["connections"] = link.connections
                if role == .publish { details["unroutable_delays"] = state.unroutableDelays }
                let (status, reason): (ComponentHealth.Status, String?) =
                    if let failure = state.failure {
                        (.failed, failure.description)
                    } else if role == .reply {
                        // Requesters can end it, and must not make the service unready.
                        (.ready, link.isConnected ? nil : (link.lastError ?? "not connected yet").printable)
                    } else if !link.isConnected {
                        (isLost(link) ? .failed : .notReady, (link.lastError ?? "not connected yet").printable)
                    } else if let blocked = link.blockedReason, role == .publish {
                        (.notReady, "blocked by the broker: \(blocked.printable)")
                    } else if let missing = state.missing.values.min() {
                        (.notReady, "missing on the broker: \(missing.printable)")
                    } else {
                        (.ready, nil)
                    }
                components.append(
                    ComponentHealth(
                        name: "\(prefix).\(role.name)",
                        status: status,
                        reason: reason,
                        details: details
                    )
                )
            }
            for consumer in state.consumers.values.sorted(by: { $0.name < $1.name }) where !consumer.isStopped {
                var details: [String: Int] = [:]
                details["messages"] = consumer.messages
                details["consumers"] = consumer.consumers
                if !consumer.isAttached, consumer.lastFailure?.kind == .queueDown { details["queue_down"] = 1 }
                components.append(
                    ComponentHealth(
                        name: "\(prefix).consumer.\(consumer.name)",
                        status: consumer.isAttached ? .ready : .notReady,
                        reason: consumer.isAttached ? nil : consumer.lastFailure?.description ?? "not attached yet",
                        details: details
                    )
                )
            }
            return components
        }
    }
}
