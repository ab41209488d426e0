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
        let generation = generation
        withUnsafeTemporaryAllocation(byteCount: ReplyReader.chunkSize, alignment: 16) { buffer in
            for _ in 0..<Self.piecesPerTurn {
                guard let socket, generation == self.generation else { return }
                switch socket.read(into: buffer) {
                case .moved(let count):
                    lastReceived = .now
                    take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                    if count < buffer.count { return }
                case .wouldBlock:
                    return
                case .closed:
                    return lose(EventBusError(.unavailable, "Redis closed the connection"))
                case .failed(let problem):
                    return lose(
                        EventBusError(.unavailable, "reading from Redis failed: \(String(errorNumber: problem))")
                    )
                }
            }
        }
        pump()
    }

    private func take(_ bytes: UnsafeRawBufferPointer) {
        let generation = generation
        do throws(EventBusError) {
            guard let reader else { return }
            try reader.feed(bytes)
            while generation == self.generation, let reply = try reader.next() {
                try handle(reply)
            }
        } catch {
            lose(error)
        }
    }

    private func handle(_ reply: RedisValue) throws(EventBusError) {
        if case .subscriber(_, _, let onEvent) = role, let message = reply.message {
            return onEvent(.message(channel: message.channel, payload: message.payload))
        }
        guard let flight = inFlight.popFirst() else {
            throw EventBusError(.unavailable, "Redis sent a reply that nobody asked for")
        }
        inFlightSize -= flight.size
        switch flight.owner {
        case .caller(let command):
            command.finish(.success(reply))
        case .greeting(let step):
            try handshake.receive(reply, for: step)
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
            if command.deadline <= now { return command.expire() }
            earliest = min(earliest ?? command.deadline, command.deadline)
        }
        for flight in inFlight {
            if case .caller(let command) = flight.owner { look(command) }
        }
        if !waiting.isEmpty {
            for command in waiting { look(command) }
            var (left, leftBytes) = (0, 0)
            waiting.removeAll { command in
                guard command.isDone else { return false }
                left += 1
                leftBytes += command.size
                return true
            }
            queue.noteLeft(left, bytes: leftBytes)
        }
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

    // MARK: heartbeat

    func scheduleHeartbeat() {
        let generation = generation
        thread.schedule(at: silentSince.advanced(by: configuration.heartbeat)) { [weak self] in
            self?.assumeIsolated { $0.beat(generation) }
        }
    }

    /// Since when the server has said nothing, or owed an answer and said nothing.
    private var silentSince: MonotonicTime {
        inFlight.first.map { max(lastReceived, $0.sentAt) } ?? lastReceived
    }

    /// Asks a silent server whether it is there, and gives up one that does not answer.
    private func beat(_ generation: UInt64) {
        guard generation == self.generation, phase == .ready else { return }
        let now = MonotonicTime.now
        if silentSince.duration(to: now) >= configuration.heartbeat {
            guard inFlight.isEmpty else {
                return lose(EventBusError(.unavailable, "Redis has not answered for \(configuration.heartbeat)"))
            }
            do throws(EventBusError) {
                append(try RedisCommand("PING"), of: .heartbeat, at: now)
            } catch {
                return lose(error)
            }
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
