import ConnectionThread
import DequeModule
import EventBus

extension RedisConnection {
    /// The number of pieces that are read before other descriptors and timers get their turn.
    private static var piecesPerTurn: Int { 16 }

    /// Handles the readiness of the socket.
    func serve(_ events: DescriptorEvents, _ generation: UInt64) {
        guard generation == self.generation else { return }
        switch phase {
        case .connecting:
            finishConnecting()
        case .securing:
            shakeHands()
        case .greeting, .ready:
            // Writing may be what TLS needs to continue reading.
            if events.contains(.readable) || tls != nil { receive() }
            if events.contains(.writable) { flush() }
        case .idle, .pausing, .closed: break
        }
    }

    /// Reads the received bytes.
    func receive() {
        guard let socket, let reader else { return }
        let generation = generation
        do throws(EventBusError) {
            pieces: for _ in 0..<Self.piecesPerTurn {
                let transfer =
                    if let tls { try reader.feed(from: tls.read) } else { try reader.feed(from: socket.read) }
                switch transfer {
                case .moved(let count):
                    lastReceived = .now
                    while generation == self.generation, let reply = try reader.next(in: traffic.storageForReply()) {
                        try handle(reply)
                    }
                    guard generation == self.generation else { return }
                    if count < ReplyReader.chunkSize, tls?.hasInput != true { break pieces }
                case .wouldBlock: break pieces
                case .closed:
                    throw refusedGreeting ?? EventBusError(.unavailable, "Redis closed the connection")
                case .failed(let problem):
                    throw refusedGreeting
                        ?? EventBusError(.unavailable, "reading from Redis failed: \(String(errorNumber: problem))")
                case .broken(let reason):
                    throw EventBusError(.unavailable, "reading from Redis failed: \(reason)")
                }
            }
        } catch {
            // Another address of the host may be that of the primary, or accept clients.
            return phase == .greeting ? tryNextAddress(after: error) : lose(error)
        }
        pump()
        guard tls?.hasInput == true else { return }
        // Decrypted bytes do not make the socket readable.
        thread.execute { [weak self] in
            self?.assumeIsolated { if $0.generation == generation { $0.receive() } }
        }
    }

    /// The server's last message before it closed the connection during the greeting.
    private var refusedGreeting: EventBusError? { phase == .greeting ? handshake.toleratedRefusal : nil }

    private func handle(_ reply: consuming RedisValue) throws(EventBusError) {
        if case .subscriber(_, _, let onEvent) = role, let message = reply.message {
            return onEvent(.message(channel: message.channel, payload: message.payload))
        }
        if case .sentinel(let onEvent) = role, let message = reply.message {
            return onEvent(.message(message.payload.text ?? ""))
        }
        switch traffic.land() {
        case .none:
            // A server at its limit of clients sends an error before it receives anything.
            if case .error(let message) = reply { throw handshake.refusal(message) }
            throw EventBusError(.unavailable, "Redis sent a reply that nobody asked for")
        case .caller(let command):
            let refusal: RedisServerError? =
                if case .error(let message) = reply { RedisServerError(message) } else { nil }
            guard let refusal else { return command.finish(reply) }
            if let passing = refusal.passingRefusal(configuration) {
                command.refuse(passing)
                throw passing
            }
            command.finish(reply)
            refusedWrites.note(refusal)
            guard let reason = refusal.reasonToReconnect else { return }
            if refusal.isOfReplica { turnAway(reason) }
            throw reason
        case .greeting:
            try handshake.receive(reply)
            greet()
        case .asking:
            // If it is refused, so is the command after it.
            return
        case .heartbeat:
            guard Handshake.provesLife(reply) else {
                throw EventBusError(.unavailable, "Redis answered PING with something else than PONG")
            }
            if case .sentinel(let onEvent) = role { onEvent(.heartbeat) }
        case .roleCheck:
            isAskingRole = false
            // If it is refused now, the permission to ask was revoked.
            guard let question = handshake.roleQuestion else { return }
            if case .error = reply { return }
            do throws(EventBusError) {
                try question.requirePrimary(reply)
            } catch {
                turnAway(error)
                throw error
            }
        }
    }

    /// Lets the next attempt to connect begin with another address of the host, because this server is a replica. The
    /// connection that this one follows leaves the server, too.
    private func turnAway(_ reason: EventBusError) {
        addresses.leaveCurrent()
        guard let partner, let server, partner.presence.server?.isSameServer(as: server) == true else { return }
        partner.assumeIsolated { $0.leaveServer(reason) }
    }

    // MARK: Deadlines

    /// Ends overdue commands, and schedules the next call for when the next command is due.
    private func sweep(_ now: MonotonicTime) {
        var earliest: MonotonicTime?
        // The last time at which data of commands moved. Read here, because the pipeline is being changed below.
        let movement =
            phase == .ready ? max(lastReceived, traffic.progressAt ?? lastReceived) : MonotonicTime(nanoseconds: 0)
        func look(_ command: PendingCommand, _ flight: CommandPipeline.Flight? = nil, isNext: Bool = false) {
            let quietEnd = movement.advanced(byNanoseconds: command.timeout)
            guard !command.isDone,
                let deadline = deadline(of: command, flight, isNext: isNext, quietEnd: quietEnd, now)
            else { return }
            if deadline <= now { return command.expire(isBusy: now < quietEnd) }
            earliest = min(earliest ?? deadline, deadline)
        }
        for (index, flight) in traffic.inFlight.enumerated() {
            if case .caller(let command) = flight.owner { look(command, flight, isNext: index == 0) }
        }
        let (count, bytes) = traffic.endWaiting { look($0) }
        queue.noteLeft(count, bytes: bytes)
        guard let earliest else { return }
        scheduleSweep(at: earliest)
    }

    /// Returns the end of the time for a command, or `nil` until the connection has taken it.
    ///
    /// Progress is a sign of life. A reply of which a part has arrived is waited for as long as parts arrive, and a large
    /// command has the additional time that a slow transfer takes.
    ///
    /// - Parameter quietEnd: The time until which a connection on which data moved last counts as busy.
    private func deadline(
        of command: PendingCommand,
        _ flight: CommandPipeline.Flight?,
        isNext: Bool,
        quietEnd: MonotonicTime,
        _ now: MonotonicTime
    ) -> MonotonicTime? {
        guard let begunAt = command.begunAt, let deadline = command.deadline, deadline <= now else {
            return command.deadline
        }
        if isNext, reader?.isInsideReply == true {
            return max(deadline, lastReceived.advanced(byNanoseconds: command.timeout))
        }
        if command.waitsForOthers {
            return max(deadline, min(begunAt.advanced(by: configuration.commandTimeout), quietEnd))
        }
        guard let flight, flight.backlog >= Self.largeCommand else { return deadline }
        return deadline.advanced(by: .seconds(flight.backlog / UInt64(Self.slowestTransfer)))
    }

    func scheduleSweep(at deadline: MonotonicTime) {
        if let nextSweep, nextSweep <= deadline { return }
        nextSweep = deadline
        thread.schedule(at: deadline) { [weak self] in
            self?.assumeIsolated { connection in
                if connection.nextSweep == deadline { connection.nextSweep = nil }
                connection.sweep(.now)
            }
        }
    }

    // MARK: Cancellation

    /// The time that a task waits before it responds to cancellation. It exceeds the reply time of a healthy server.
    static var patience: Duration { .milliseconds(20) }

    func schedulePatienceCheck(at now: MonotonicTime) {
        guard !isPatienceCheckScheduled else { return }
        isPatienceCheckScheduled = true
        thread.schedule(at: now.advanced(by: Self.patience)) { [weak self] in
            self?.assumeIsolated { connection in
                connection.isPatienceCheckScheduled = false
                connection.checkPatience(.now)
            }
        }
    }

    /// Makes the tasks that have waited for long responsive to cancellation from now on.
    private func checkPatience(_ now: MonotonicTime) {
        for flight in traffic.inFlight {
            guard flight.sentAt.advanced(by: Self.patience) <= now else { break }
            if case .caller(let command) = flight.owner { command.installCancellationHandler() }
        }
        for command in traffic.waiting {
            guard let begunAt = command.begunAt, begunAt.advanced(by: Self.patience) <= now else { break }
            command.installCancellationHandler()
        }
        if !traffic.isEmpty { schedulePatienceCheck(at: now) }
    }

    // MARK: Heartbeat

    func scheduleHeartbeat() {
        let generation = generation
        let now = MonotonicTime.now
        let due = silentSince.advanced(by: configuration.heartbeat)
        // While a large command delays the heartbeat, the connection is checked again after a short time.
        let next = now < due ? due : now.advanced(by: min(configuration.heartbeat, .milliseconds(100)))
        thread.schedule(at: next) { [weak self] in
            self?.assumeIsolated { $0.beat(generation) }
        }
    }

    /// The time since when the server has sent nothing, or since when a reply has been due.
    ///
    /// A server that accepts a large command piece by piece is alive as well.
    private var silentSince: MonotonicTime {
        guard let first = traffic.inFlight.first else { return lastReceived }
        return max(lastReceived, first.sentAt, traffic.progressAt ?? first.sentAt)
    }

    /// Returns how long a server may stay silent if `delivered` bytes of all output have reached its machine.
    ///
    /// A proxy in front of the server may buffer a large command and forward it slowly.
    private func patience(delivered: UInt64) -> Duration {
        guard let first = traffic.inFlight.first, first.size >= Self.largeCommand, delivered >= first.end else {
            return configuration.heartbeat
        }
        return configuration.heartbeat + .seconds(first.size / Self.slowestTransfer)
    }

    /// The size in bytes of a large command, and its slowest transfer in bytes per second.
    private static var largeCommand: Int { 256 << 10 }
    private static var slowestTransfer: Int { 256 << 10 }

    /// Checks that the server is still a primary, probes a silent server, and closes the connection if it does not
    /// answer.
    private func beat(_ generation: UInt64) {
        guard generation == self.generation, phase == .ready, let socket else { return }
        let now = MonotonicTime.now
        let undelivered = socket.undeliveredByteCount + (tls?.undeliveredByteCount ?? 0)
        let delivered = traffic.written - min(traffic.written, UInt64(undelivered))
        // The delivery of a small command to the peer's machine says nothing about the server.
        if let first = traffic.inFlight.first, first.size >= Self.largeCommand {
            traffic.noteDelivered(delivered, since: lastDelivered, at: now)
        }
        lastDelivered = max(lastDelivered, delivered)
        connectionMetrics?.note(inFlight: traffic.inFlight.count)
        let silence = silentSince.duration(to: now)
        guard traffic.inFlight.isEmpty || silence < patience(delivered: delivered) else {
            return lose(EventBusError(.unavailable, "Redis has not answered for \(silence)"))
        }
        if case .commands = role, let question = handshake.roleQuestion {
            // A replica can be read from too, so nothing else would reveal that this server is no longer the primary.
            if !isAskingRole { send(question.command, of: .roleCheck) }
            isAskingRole = true
        } else if traffic.inFlight.isEmpty, silence >= configuration.heartbeat {
            send(RedisCommand("PING"), of: .heartbeat)
        }
        scheduleHeartbeat()
    }
}

extension RedisServerError {
    /// A Boolean value indicating whether only a replica answers that.
    fileprivate var isOfReplica: Bool { kind == "READONLY" || kind == "MASTERDOWN" }

    /// The error of a server, or of a script on it, that refuses more than this command and would continue to: it is a
    /// replica, or no longer accepts the login of the connection.
    fileprivate var reasonToReconnect: EventBusError? {
        switch kind {
        case "READONLY": .readOnlyReplica
        // A replica that has lost its primary, or a login that was revoked.
        case "MASTERDOWN", "NOAUTH": asBusError
        default: nil
        }
    }
}

extension RedisValue {
    /// The published message, or `nil` if this is a reply.
    fileprivate var message: (channel: String, payload: RedisValue)? {
        guard let parts = array, parts.count == 3, parts[0].text == "message", let channel = parts[1].text else {
            return nil
        }
        return (channel, parts[2])
    }
}
