import ConnectionThread
import EventBus

/// Which of two channels an event goes out on, so that one that the broker refuses holds up no other. Pure.
///
/// The broker refuses an event by closing its channel, and everything unconfirmed on it with it. So what it may have
/// meant goes on by a second channel, one event at a time: there a closed channel condemns exactly one. The same way go
/// all that are bound for where the broker last refused one, until one of them is accepted.
struct PublishTraffic<Token> {
    typealias Machine = PublishMachine<Token>
    typealias Item = Machine.Item

    enum Line: CaseIterable, Sendable {
        /// The channel of all events that nothing is held against.
        case main
        /// The channel of the others.
        case probe
    }

    /// How many refused routes are remembered: the topics of a user without rights are not bounded.
    static var maximumRefusals: Int { 64 }

    private var main: Machine
    private var probe: Machine
    /// Where the broker refuses events, as far as is known.
    private(set) var refusals: [PublishRefusal] = []

    init(maximumCount: Int, maximumBytes: Int) {
        main = Machine(maximumCount: maximumCount, maximumBytes: maximumBytes)
        probe = Machine(maximumCount: 1, maximumBytes: maximumBytes)
    }

    /// Events with the broker, not yet confirmed.
    var unconfirmed: Int { main.unconfirmed + probe.unconfirmed }
    /// Events that have not been sent on this connection.
    var waitingCount: Int { main.waitingCount + probe.waitingCount }
    /// Whether events wait for the second channel, which is not there.
    var needsProbe: Bool { !probe.isConnected && probe.waitingCount > 0 }
    /// The earliest deadline of all events that are not resolved, or an earlier one of an event that is.
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

    // MARK: sending

    /// Takes the event to send next on a channel.
    mutating func takeNext(_ line: Line) -> AMQPPublish? { onLine(line) { $0.takeNext() } }

    /// Puts back what was taken: the socket had no room for it.
    mutating func putBack(_ line: Line) { onLine(line) { $0.putBack() } }

    /// Gives up what was taken: it cannot go over the connection.
    mutating func dropTaken(_ line: Line, _ problem: WireProblem, _ resolved: inout [Machine.Resolved]) {
        onLine(line) { $0.dropTaken(problem, &resolved) }
    }

    /// Says whether the broker takes events at present.
    mutating func setBlocked(_ isBlocked: Bool) {
        main.isBlocked = isBlocked
        probe.isBlocked = isBlocked
    }

    // MARK: what the broker says

    /// A new channel in confirm mode.
    mutating func connected(_ line: Line, isBlocked: Bool) {
        setBlocked(isBlocked)
        onLine(line) { $0.connected(isBlocked: isBlocked) }
    }

    /// The broker returned an event, which no queue took; its confirm follows.
    mutating func returned(_ line: Line, _ message: AMQPMessage) {
        onLine(line) { machine in
            machine.returned(
                messageID: message.properties.messageID,
                exchange: message.exchange,
                routingKey: message.routingKey
            )
        }
    }

    /// The broker confirmed or refused one event, or all up to it.
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
        // The channel lives, so the broker takes what goes there.
        if let accepted, probe.unconfirmed == 0 { lift(accepted) }
    }

    /// A channel is gone. What is held against the events that it had not confirmed, if anything, is the `failure`.
    ///
    /// - Returns: where the broker refuses events, if that is news.
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

    /// How often the broker may close the connection with an error while an event is in flight, before that goes alone.
    static var maximumClosedConnections: Int { 2 }

    /// The connection is gone. An event that ends it with an error would end the next one too: those that were in flight
    /// repeatedly go on by the second channel, where the one that does it is found.
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

    /// One of the events that the main channel had not confirmed was refused.
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

    /// The one event on the second channel was refused, and with it all that go the same way.
    private mutating func condemn(_ refusal: PublishRefusal, _ resolved: inout [Machine.Resolved]) {
        var condemned = probe.disconnected(takingOut: { _ in true }, &resolved)
        if refusal.isOfRoute { condemned += probe.takeWaiting { refusal.concerns($0.publish) } }
        for item in condemned { resolved.append((item.token, .refused(refusal))) }
    }

    /// An event was accepted: those that wait for nothing but that go on by the main channel.
    private mutating func lift(_ accepted: AMQPPublish) {
        guard refusals.contains(where: { $0.concerns(accepted) }) || probe.waitingCount > 0 else { return }
        refusals.removeAll { $0.concerns(accepted) }
        let refusals = refusals
        let free = probe.takeWaiting { item in
            !item.isSuspect && !refusals.contains { $0.concerns(item.publish) }
        }
        for item in free { main.add(item) }
    }

    // MARK: giving up

    /// Gives up every event whose deadline has passed.
    mutating func expire(at now: MonotonicTime, _ resolved: inout [Machine.Resolved]) {
        main.expire(at: now, &resolved)
        probe.expire(at: now, &resolved)
    }

    /// Gives up the event with this id: cancelled if it was not sent.
    mutating func cancel(_ id: UInt64, _ resolved: inout [Machine.Resolved]) {
        main.cancel(id, &resolved)
        probe.cancel(id, &resolved)
    }

    /// Gives up everything that waits to be sent.
    mutating func cancelWaiting(_ resolved: inout [Machine.Resolved]) {
        main.cancelWaiting(&resolved)
        probe.cancelWaiting(&resolved)
    }
}
