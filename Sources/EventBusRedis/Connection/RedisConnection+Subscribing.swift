import ConnectionThread
import EventBus

extension RedisConnection {
    /// The state of a connection that has to reach the server of its partner, and of its messages if it has any.
    enum SubscriptionStatus: Sendable {
        /// The connection was not opened or has not connected yet, or its partner has not connected yet.
        case pending
        /// Both have reached the same server, and messages arrive.
        case inForce
        /// The server refuses features that messages need. Each refusal includes the server's message.
        case refused([String])
        /// The partner has reached another server.
        case elsewhere(String)
    }

    /// The time after which a server that refused a feature is asked for it again.
    private static var refusalPause: Duration { .seconds(60) }

    /// Completes the greeting. Messages arrive if no feature was refused, and they count if commands reach the same
    /// server.
    func beginSubscription() {
        guard case .subscriber(_, _, let onEvent) = role else { return }
        guard handshake.refusals.isEmpty else {
            subscription.withLock { $0 = .refused(handshake.refusals) }
            report(handshake.refusals)
            onEvent(.ended)
            let generation = generation
            thread.schedule(at: .now.advanced(by: Self.refusalPause)) { [weak self] in
                self?.assumeIsolated { $0.askAgain(generation) }
            }
            return
        }
        comparePartner()
    }

    private func askAgain(_ generation: UInt64) {
        guard generation == self.generation, phase == .ready else { return }
        endSocket(EventBusError(.unavailable, "the connection is replaced"))
        phase = .pausing
        connect()
    }

    /// Decides whether messages count. Only messages from the server that executes the commands report the changes they
    /// make. Values have to be on that server, too, so a connection for them leaves another one.
    func comparePartner() {
        guard phase == .ready, handshake.refusals.isEmpty, let server else { return }
        guard let partner else { return setInForce(true) }
        guard let theirs = partner.presence.server else {
            // Messages need their partner. Values do not, but then nothing is known about them.
            if case .subscriber = role { partner.open() } else { subscription.withLock { $0 = .pending } }
            return setInForce(false)
        }
        guard !server.isSameServer(as: theirs) else {
            mismatches = 0
            return setInForce(true)
        }
        mismatches += 1
        let what = if case .subscriber = role { "messages" } else { "values" }
        let problem = "commands reach the Redis server \(theirs), and \(what) \(server)"
        setInForce(false)
        subscription.withLock { $0 = .elsewhere(problem) }
        let reason = EventBusError(.unavailable, "\(problem); both have to reach the same one")
        // An address that the host no longer has is the wrong one. If both have the same address, nobody knows. The
        // connection for commands is closed less often, because it has commands in flight.
        // Sentinels may have named another primary since this connection asked.
        var isPartnerWrong = !addresses.contains(theirs.address)
        if case .sentinel = configuration.endpoint { isPartnerWrong = false }
        if isPartnerWrong || mismatches.isMultiple(of: 3) {
            partner.assumeIsolated { $0.lose(reason) }
        } else {
            lose(reason)
        }
    }

    /// Begins or ends the period in which messages count.
    func setInForce(_ isInForce: Bool) {
        let changed = subscription.withLock { status in
            if case .inForce = status {
                if !isInForce { status = .pending }
                return !isInForce
            }
            if isInForce { status = .inForce }
            return isInForce
        }
        guard changed, case .subscriber(_, _, let onEvent) = role else { return }
        onEvent(isInForce ? .began : .ended)
    }

    /// Notifies the connections that have to be connected to the same server as this one.
    func setPresence(_ server: ServerIdentity?) {
        self.server = server
        for observer in presence.set(server) { observer.assumeIsolated { $0.comparePartner() } }
    }
}
