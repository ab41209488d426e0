import ConnectionThread
import DequeModule
import EventBus

extension RedisConnection {
    /// How many pieces are read before other descriptors and timers have their turn.
    private static var piecesPerTurn: Int { 16 }

    /// The socket is ready for something.
    func serve(_ events: DescriptorEvents, _ generation: UInt64) {
        guard generation == self.generation else { return }
        switch phase {
        case .connecting:
            finishConnecting()
        case .greeting, .ready:
            if events.contains(.readable) { receive() }
            if events.contains(.writable) { flush() }
        case .idle, .pausing, .closed: break
        }
    }

    private func receive() {
        guard let socket, let reader else { return }
        let generation = generation
        do throws(EventBusError) {
            pieces: for _ in 0..<Self.piecesPerTurn {
                switch try reader.feed(from: socket) {
                case .moved(let count):
                    lastReceived = .now
                    while generation == self.generation, let reply = try reader.next(in: traffic.storageForReply()) {
                        try handle(reply)
                    }
                    guard generation == self.generation else { return }
                    if count < ReplyReader.chunkSize { break pieces }
                case .wouldBlock: break pieces
                case .closed: throw EventBusError(.unavailable, "Redis closed the connection")
                case .failed(let problem):
                    throw EventBusError(.unavailable, "reading from Redis failed: \(String(errorNumber: problem))")
                }
            }
        } catch {
            return lose(error)
        }
        pump()
    }

    private func handle(_ reply: consuming RedisValue) throws(EventBusError) {
        if case .subscriber(_, _, let onEvent) = role, let message = reply.message {
            return onEvent(.message(channel: message.channel, payload: message.payload))
        }
        switch traffic.land() {
        case .none: throw EventBusError(.unavailable, "Redis sent a reply that nobody asked for")
        case .caller(let command):
            command.finish(reply)
        case .greeting:
            try handshake.receive(reply)
            greet()
        case .heartbeat:
            guard Handshake.isPong(reply) else {
                throw EventBusError(.unavailable, "Redis answered PING with something else than PONG")
            }
        }
    }

    // MARK: deadlines

    /// Ends what is overdue, and arranges to be called again when the next command will be.
    private func sweep(_ now: MonotonicTime) {
        var earliest: MonotonicTime?
        func look(_ command: PendingCommand) {
            if command.isDone { return }
            guard let deadline = command.deadline else { return }
            if deadline <= now { return command.expire() }
            earliest = min(earliest ?? deadline, deadline)
        }
        for flight in traffic.inFlight {
            if case .caller(let command) = flight.owner { look(command) }
        }
        let (count, bytes) = traffic.endWaiting(look)
        queue.noteLeft(count, bytes: bytes)
        guard let earliest else { return }
        scheduleSweep(at: earliest)
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

    // MARK: cancellation

    /// How long a task waits before its cancellation is looked at: longer than a healthy server takes.
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

    /// Lets the tasks that have waited for long notice their cancellation from now on.
    private func checkPatience(_ now: MonotonicTime) {
        for flight in traffic.inFlight {
            guard flight.sentAt.advanced(by: Self.patience) <= now else { break }
            if case .caller(let command) = flight.owner { command.sendForHandler() }
        }
        for command in traffic.waiting {
            guard let begunAt = command.begunAt, begunAt.advanced(by: Self.patience) <= now else { break }
            command.sendForHandler()
        }
        if !traffic.isEmpty { schedulePatienceCheck(at: now) }
    }

    // MARK: heartbeat

    func scheduleHeartbeat() {
        let generation = generation
        thread.schedule(at: silentSince.advanced(by: configuration.heartbeat)) { [weak self] in
            self?.assumeIsolated { $0.beat(generation) }
        }
    }

    /// Since when the server has said nothing, or owed an answer and said nothing.
    private var silentSince: MonotonicTime {
        traffic.inFlight.first.map { max(lastReceived, $0.sentAt) } ?? lastReceived
    }

    /// Asks a silent server whether it is there, and gives up one that does not answer.
    private func beat(_ generation: UInt64) {
        guard generation == self.generation, phase == .ready else { return }
        let now = MonotonicTime.now
        if silentSince.duration(to: now) >= configuration.heartbeat {
            guard traffic.inFlight.isEmpty else {
                return lose(EventBusError(.unavailable, "Redis has not answered for \(configuration.heartbeat)"))
            }
            send(RedisCommand("PING"), of: .heartbeat)
        }
        scheduleHeartbeat()
    }
}

extension RedisValue {
    /// What was published, if this is a message and not a reply.
    fileprivate var message: (channel: String, payload: RedisValue)? {
        guard let parts = array, parts.count == 3, parts[0].text == "message", let channel = parts[1].text else {
            return nil
        }
        return (channel, parts[2])
    }
}
