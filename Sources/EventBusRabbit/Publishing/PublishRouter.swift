import ConnectionThread
import EventBus

/// The two channels of a publisher, which ensure that a refused event delays no others.
///
/// The broker refuses an event by closing its channel, including everything unconfirmed on it. Events that may have
/// caused it are therefore sent on a second channel, one at a time, where a closed channel identifies exactly one
/// event. The second channel also carries all events with the destination of the last refused one, until one of them is
/// accepted.
struct PublishRouter<Token> {
    typealias Machine = PublishStateMachine<Token>
    typealias Item = Machine.Item

    enum ChannelRole: CaseIterable, Sendable {
        /// The channel for events that are not suspected of causing a channel error.
        case primary
        /// The channel of the other events.
        case isolated
    }

    /// The maximum number of remembered refusals, because the topics of a user without permissions are unbounded.
    static var maximumRefusals: Int { 64 }

    private var primary: Machine
    private var isolated: Machine
    /// The known destinations for which the broker refuses events.
    private(set) var refusals: [PublishRefusal] = []

    init(maximumCount: Int, maximumBytes: Int) {
        primary = Machine(maximumCount: maximumCount, maximumBytes: maximumBytes)
        isolated = Machine(maximumCount: 1, maximumBytes: maximumBytes)
    }

    /// The number of unconfirmed events.
    var unconfirmed: Int { primary.unconfirmed + isolated.unconfirmed }
    /// The number of events that have not been sent on this connection.
    var waitingCount: Int { primary.waitingCount + isolated.waitingCount }
    /// A Boolean value indicating whether events wait for the second channel, which is not open.
    var needsIsolatedChannel: Bool { !isolated.isConnected && isolated.waitingCount > 0 }
    /// The earliest deadline of all unresolved events, or an earlier one of a resolved event.
    var earliestDeadline: MonotonicTime? {
        guard let earliest = primary.earliestDeadline, let other = isolated.earliestDeadline else {
            return primary.earliestDeadline ?? isolated.earliestDeadline
        }
        return min(earliest, other)
    }

    mutating func add(_ item: Item) {
        if refusals.isEmpty || !isRefused(item.publish) { primary.add(item) } else { isolated.add(item) }
    }

    private func isRefused(_ publish: AMQPPublish) -> Bool { refusals.contains { $0.concerns(publish) } }

    private mutating func onChannel<Result>(_ role: ChannelRole, _ body: (inout Machine) -> Result) -> Result {
        switch role {
        case .primary: body(&primary)
        case .isolated: body(&isolated)
        }
    }

    // MARK: Sending

    /// Returns the next event to send on a channel.
    mutating func takeNext(_ role: ChannelRole) -> AMQPPublish? { onChannel(role) { $0.takeNext() } }

    /// Undoes ``takeNext(_:)``, because the socket had no room for the event.
    mutating func putBack(_ role: ChannelRole) { onChannel(role) { $0.putBack() } }

    /// Resolves the event of ``takeNext(_:)`` as unsendable.
    mutating func dropTaken(_ role: ChannelRole, _ problem: WireProblem, _ resolved: inout [Machine.Resolved]) {
        onChannel(role) { $0.dropTaken(problem, &resolved) }
    }

    /// Records whether the broker currently accepts events.
    mutating func setBlocked(_ isBlocked: Bool) {
        primary.isBlocked = isBlocked
        isolated.isBlocked = isBlocked
    }

    // MARK: Events from the broker

    /// Starts a new channel in confirm mode.
    mutating func connected(_ role: ChannelRole, isBlocked: Bool) {
        setBlocked(isBlocked)
        onChannel(role) { $0.connected(isBlocked: isBlocked) }
    }

    /// Records that the broker returned an event because no queue matched. Its confirm follows.
    mutating func returned(_ role: ChannelRole, _ message: AMQPMessage) {
        onChannel(role) { machine in
            machine.returned(
                messageID: message.properties.messageID,
                exchange: message.exchange,
                routingKey: message.routingKey
            )
        }
    }

    /// The delivery tag of the event that was taken last for the primary channel.
    var lastTag: UInt64 { primary.lastTag }

    /// Records that the broker confirmed or refused one event, or all up to it.
    mutating func confirmed(
        _ role: ChannelRole,
        tag: UInt64,
        multiple: Bool,
        isAcknowledged: Bool,
        _ resolved: inout [Machine.Resolved]
    ) {
        let accepted = role == .isolated ? isolated.firstUnconfirmed : nil
        onChannel(role) {
            $0.confirmed(tag: tag, multiple: multiple, isAcknowledged: isAcknowledged, &resolved)
        }
        // The channel is alive, so the broker accepts events with this destination.
        if let accepted, isolated.unconfirmed == 0 { lift(accepted) }
    }

    /// Handles the end of a channel. `failure` is the reason, for which one of the unconfirmed events may be
    /// responsible.
    ///
    /// - Returns: The refused destination, if it is new.
    mutating func disconnected(
        _ role: ChannelRole,
        _ failure: AMQPFailure,
        _ resolved: inout [Machine.Resolved]
    ) -> PublishRefusal? {
        guard let refusal = PublishRefusal(failure) else {
            connectionEnded(role, failure, &resolved)
            return nil
        }
        if let limit = refusal.sizeLimit {
            // Sent again, it would close the next channel too.
            _ = onChannel(role) { $0.disconnected(&resolved) }
            primary.refuse(largerThan: limit, &resolved)
            isolated.refuse(largerThan: limit, &resolved)
            return nil
        }
        switch role {
        case .primary: isolate(refusal, &resolved)
        case .isolated: reject(refusal, &resolved)
        }
        guard refusal.isOfRoute, !refusals.contains(where: { $0.isSameRoute(refusal) }) else { return nil }
        if refusals.count == Self.maximumRefusals { refusals.removeFirst() }
        refusals.append(refusal)
        return refusal
    }

    /// The number of times that the broker may close the connection with an error while an event is in flight, before
    /// that event is sent alone.
    static var maximumClosedConnections: Int { 2 }

    /// Handles the end of the connection. An event that ends it with an error would end the next one too, so events
    /// that were in flight repeatedly are sent on the second channel, where the responsible one is identified.
    private mutating func connectionEnded(
        _ role: ChannelRole,
        _ failure: AMQPFailure,
        _ resolved: inout [Machine.Resolved]
    ) {
        guard failure.isErrorOfPeer else {
            _ = onChannel(role) { $0.disconnected(&resolved) }
            return
        }
        switch role {
        case .primary:
            let suspects = primary.disconnected(
                closedByBroker: true,
                takingOut: { $0.isResent && $0.closedConnections >= Self.maximumClosedConnections },
                &resolved
            )
            for var item in suspects {
                item.isSuspect = true
                isolated.add(item)
            }
        case .isolated:
            let refusal = PublishRefusal(closingConnection: failure)
            let guilty = isolated.disconnected(
                closedByBroker: true,
                takingOut: { $0.closedConnections > 2 * Self.maximumClosedConnections },
                &resolved
            )
            for item in guilty { resolved.append((item.token, .refused(refusal))) }
        }
    }

    /// Handles the refusal of one of the primary channel's unconfirmed events.
    private mutating func isolate(_ refusal: PublishRefusal, _ resolved: inout [Machine.Resolved]) {
        if refusal.isOfRoute, primary.hasUnconfirmed(where: { refusal.concerns($0) }) {
            let sent = primary.disconnected(takingOut: { refusal.concerns($0.publish) }, &resolved)
            let concerned = sent + primary.takeWaiting { refusal.concerns($0.publish) }
            for item in concerned {
                if refusal.isRetriable, item.isResent || !item.wasSent {
                    isolated.add(item)
                } else {
                    resolved.append((item.token, .refused(refusal)))
                }
            }
        } else {
            for var item in primary.disconnected(takingOut: { $0.isResent }, &resolved) {
                item.isSuspect = true
                isolated.add(item)
            }
        }
    }

    /// Handles the refusal of the only event on the second channel, and of all events with its destination.
    private mutating func reject(_ refusal: PublishRefusal, _ resolved: inout [Machine.Resolved]) {
        var rejected = isolated.disconnected(takingOut: { _ in true }, &resolved)
        if refusal.isOfRoute { rejected += isolated.takeWaiting { refusal.concerns($0.publish) } }
        for item in rejected { resolved.append((item.token, .refused(refusal))) }
    }

    /// Handles an accepted event. Events that only waited for that continue on the primary channel.
    private mutating func lift(_ accepted: AMQPPublish) {
        guard refusals.contains(where: { $0.concerns(accepted) }) || isolated.waitingCount > 0 else { return }
        refusals.removeAll { $0.concerns(accepted) }
        let refusals = refusals
        let free = isolated.takeWaiting { item in
            !item.isSuspect && !refusals.contains { $0.concerns(item.publish) }
        }
        for item in free { primary.add(item) }
    }

    // MARK: Giving up

    /// Gives up every event whose deadline has passed.
    mutating func expire(at now: MonotonicTime, _ resolved: inout [Machine.Resolved]) {
        primary.expire(at: now, &resolved)
        isolated.expire(at: now, &resolved)
    }

    /// Gives up the event with this id. It is cancelled if it was not sent.
    mutating func cancel(_ id: UInt64, _ resolved: inout [Machine.Resolved]) {
        primary.cancel(id, &resolved)
        isolated.cancel(id, &resolved)
    }

    /// Gives up all events that wait to be sent.
    mutating func cancelWaiting(_ resolved: inout [Machine.Resolved]) {
        primary.cancelWaiting(&resolved)
        isolated.cancelWaiting(&resolved)
    }
}
