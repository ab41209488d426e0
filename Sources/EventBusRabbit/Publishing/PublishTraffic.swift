import ConnectionThread
import EventBus

/// The two channels of a publisher, which ensure that a refused event delays no others.
///
/// The broker refuses an event by closing its channel, including everything unconfirmed on it. Events that may have
/// caused it are therefore sent on a second channel, one at a time, where a closed channel identifies exactly one
/// event. The second channel also carries all events with the destination of the last refused one, until one of them is
/// accepted.
struct PublishTraffic<Token> {
    typealias Machine = PublishMachine<Token>
    typealias Item = Machine.Item

    enum Line: CaseIterable, Sendable {
        /// The channel for events that are not suspected of causing a channel error.
        case main
        /// The channel of the other events.
        case probe
    }

    /// The maximum number of remembered refusals, because the topics of a user without permissions are unbounded.
    static var maximumRefusals: Int { 64 }

    private var main: Machine
    private var probe: Machine
    /// The known destinations for which the broker refuses events.
    private(set) var refusals: [PublishRefusal] = []

    init(maximumCount: Int, maximumBytes: Int) {
        main = Machine(maximumCount: maximumCount, maximumBytes: maximumBytes)
        probe = Machine(maximumCount: 1, maximumBytes: maximumBytes)
    }

    /// The number of unconfirmed events.
    var unconfirmed: Int { main.unconfirmed + probe.unconfirmed }
    /// The number of events that have not been sent on this connection.
    var waitingCount: Int { main.waitingCount + probe.waitingCount }
    /// A Boolean value indicating whether events wait for the second channel, which is not open.
    var needsProbe: Bool { !probe.isConnected && probe.waitingCount > 0 }
    /// The earliest deadline of all unresolved events, or an earlier one of a resolved event.
    var earliestDeadline: MonotonicTime? {
        guard let earliest = main.earliestDeadline, let other = probe.earliestDeadline else {
            return main.earliestDeadline ?? probe.earliestDeadline
        }
        return min(earliest, other)
    }

    mutating func add(_ item: Item) {
        if refusals.isEmpty || !isRefused(item.publish) { main.add(item) } else { probe.add(item) }
    }

    private func isRefused(_ publish: AMQPPublish) -> Bool { refusals.contains { $0.concerns(publish) } }

    private mutating func onLine<Result>(_ line: Line, _ body: (inout Machine) -> Result) -> Result {
        switch line {
        case .main: body(&main)
        case .probe: body(&probe)
        }
    }

    // MARK: Sending

    /// Returns the next event to send on a channel.
    mutating func takeNext(_ line: Line) -> AMQPPublish? { onLine(line) { $0.takeNext() } }

    /// Undoes ``takeNext(_:)``, because the socket had no room for the event.
    mutating func putBack(_ line: Line) { onLine(line) { $0.putBack() } }

    /// Resolves the event of ``takeNext(_:)`` as unsendable.
    mutating func dropTaken(_ line: Line, _ problem: WireProblem, _ resolved: inout [Machine.Resolved]) {
        onLine(line) { $0.dropTaken(problem, &resolved) }
    }

    /// Records whether the broker currently accepts events.
    mutating func setBlocked(_ isBlocked: Bool) {
        main.isBlocked = isBlocked
        probe.isBlocked = isBlocked
    }

    // MARK: Events from the broker

    /// Starts a new channel in confirm mode.
    mutating func connected(_ line: Line, isBlocked: Bool) {
        setBlocked(isBlocked)
        onLine(line) { $0.connected(isBlocked: isBlocked) }
    }

    /// Records that the broker returned an event because no queue matched. Its confirm follows.
    mutating func returned(_ line: Line, _ message: AMQPMessage) {
        onLine(line) { machine in
            machine.returned(
                messageID: message.properties.messageID,
                exchange: message.exchange,
                routingKey: message.routingKey
            )
        }
    }

    /// The delivery tag of the event that was taken last for the main channel.
    var lastTag: UInt64 { main.lastTag }

    /// Records that the broker confirmed or refused one event, or all up to it.
    mutating func confirmed(
        _ line: Line,
        tag: UInt64,
        multiple: Bool,
        isAcknowledged: Bool,
        _ resolved: inout [Machine.Resolved]
    ) {
        let accepted = line == .probe ? probe.firstUnconfirmed : nil
        onLine(line) {
            $0.confirmed(tag: tag, multiple: multiple, isAcknowledged: isAcknowledged, &resolved)
        }
        // The channel is alive, so the broker accepts events with this destination.
        if let accepted, probe.unconfirmed == 0 { lift(accepted) }
    }

    /// Handles the end of a channel. `failure` is the reason, for which one of the unconfirmed events may be
    /// responsible.
    ///
    /// - Returns: The refused destination, if it is new.
    mutating func disconnected(
        _ line: Line,
        _ failure: AMQPFailure,
        _ resolved: inout [Machine.Resolved]
    ) -> PublishRefusal? {
        guard let refusal = PublishRefusal(failure) else {
            connectionEnded(line, failure, &resolved)
            return nil
        }
        if let limit = refusal.sizeLimit {
            // Sent again, it would close the next channel too.
            _ = onLine(line) { $0.disconnected(&resolved) }
            main.refuse(largerThan: limit, &resolved)
            probe.refuse(largerThan: limit, &resolved)
            return nil
        }
        switch line {
        case .main: suspect(refusal, &resolved)
        case .probe: condemn(refusal, &resolved)
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
        _ line: Line,
        _ failure: AMQPFailure,
        _ resolved: inout [Machine.Resolved]
    ) {
        guard failure.isErrorOfPeer else {
            _ = onLine(line) { $0.disconnected(&resolved) }
            return
        }
        switch line {
        case .main:
            let suspects = main.disconnected(
                closedByBroker: true,
                takingOut: { $0.isResent && $0.closedConnections >= Self.maximumClosedConnections },
                &resolved
            )
            for var item in suspects {
                item.isSuspect = true
                probe.add(item)
            }
        case .probe:
            let refusal = PublishRefusal(closingConnection: failure)
            let guilty = probe.disconnected(
                closedByBroker: true,
                takingOut: { $0.closedConnections > 2 * Self.maximumClosedConnections },
                &resolved
            )
            for item in guilty { resolved.append((item.token, .refused(refusal))) }
        }
    }

    /// Handles the refusal of one of the main channel's unconfirmed events.
    private mutating func suspect(_ refusal: PublishRefusal, _ resolved: inout [Machine.Resolved]) {
        if refusal.isOfRoute, main.hasUnconfirmed(where: { refusal.concerns($0) }) {
            let sent = main.disconnected(takingOut: { refusal.concerns($0.publish) }, &resolved)
            let concerned = sent + main.takeWaiting { refusal.concerns($0.publish) }
            for item in concerned {
                if refusal.mayBeMended, item.isResent || !item.wasSent {
                    probe.add(item)
                } else {
                    resolved.append((item.token, .refused(refusal)))
                }
            }
        } else {
            for var item in main.disconnected(takingOut: { $0.isResent }, &resolved) {
                item.isSuspect = true
                probe.add(item)
            }
        }
    }

    /// Handles the refusal of the only event on the second channel, and of all events with its destination.
    private mutating func condemn(_ refusal: PublishRefusal, _ resolved: inout [Machine.Resolved]) {
        var condemned = probe.disconnected(takingOut: { _ in true }, &resolved)
        if refusal.isOfRoute { condemned += probe.takeWaiting { refusal.concerns($0.publish) } }
        for item in condemned { resolved.append((item.token, .refused(refusal))) }
    }

    /// Handles an accepted event. Events that only waited for that continue on the main channel.
    private mutating func lift(_ accepted: AMQPPublish) {
        guard refusals.contains(where: { $0.concerns(accepted) }) || probe.waitingCount > 0 else { return }
        refusals.removeAll { $0.concerns(accepted) }
        let refusals = refusals
        let free = probe.takeWaiting { item in
            !item.isSuspect && !refusals.contains { $0.concerns(item.publish) }
        }
        for item in free { main.add(item) }
    }

    // MARK: Giving up

    /// Gives up every event whose deadline has passed.
    mutating func expire(at now: MonotonicTime, _ resolved: inout [Machine.Resolved]) {
        main.expire(at: now, &resolved)
        probe.expire(at: now, &resolved)
    }

    /// Gives up the event with this id. It is cancelled if it was not sent.
    mutating func cancel(_ id: UInt64, _ resolved: inout [Machine.Resolved]) {
        main.cancel(id, &resolved)
        probe.cancel(id, &resolved)
    }

    /// Gives up all events that wait to be sent.
    mutating func cancelWaiting(_ resolved: inout [Machine.Resolved]) {
        main.cancelWaiting(&resolved)
        probe.cancelWaiting(&resolved)
    }
}
