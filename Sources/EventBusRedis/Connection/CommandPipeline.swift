import ConnectionThread
import DequeModule

/// The commands that wait to be sent and the commands in flight, whose order matches replies to commands.
struct CommandPipeline {
    enum Owner {
        case caller(PendingCommand)
        /// `ASKING`, which precedes a command of a caller.
        case asking
        case greeting
        case heartbeat
        case roleCheck
    }

    struct Flight {
        let owner: Owner
        let size: Int
        let sentAt: MonotonicTime
        /// The position of its end in the stream of all output.
        let end: UInt64
        /// The number of bytes up to its end that had not been written when it was added.
        let backlog: UInt64
    }

    /// The commands that have not been sent, in order.
    private(set) var waiting = Deque<PendingCommand>()
    /// The commands that have been sent, in the order of their replies.
    private(set) var inFlight = Deque<Flight>()
    private var inFlightSize = 0
    /// The output buffer. Its first `outputStart` bytes have been written to the socket.
    private(set) var output: [UInt8] = []
    private var outputStart = 0
    /// The number of bytes that have been written to the socket.
    private(set) var written: UInt64 = 0
    /// The last time at which bytes of the next command to be answered were sent.
    private(set) var progressAt: MonotonicTime?

    /// The number of all output bytes, including those already written.
    private var total: UInt64 { written + UInt64(output.count - outputStart) }

    /// Adds submitted commands. `commands` is empty afterwards.
    mutating func admit(_ commands: inout Deque<PendingCommand>) {
        if waiting.isEmpty {
            swap(&waiting, &commands)
        } else {
            waiting.append(contentsOf: commands)
            commands.removeAll(keepingCapacity: true)
        }
    }

    /// Moves waiting commands to the output until the limits on commands in flight are reached. It also starts the
    /// timeouts of all commands that keep waiting.
    ///
    /// - Returns: The number of commands that no longer wait, and their size on the wire in bytes.
    mutating func sendWaiting(
        maximumInFlight: Int,
        maximumInFlightBytes: Int,
        at now: MonotonicTime
    ) -> (count: Int, bytes: Int) {
        var (left, leftBytes) = (0, 0)
        while inFlight.count < maximumInFlight, inFlightSize < maximumInFlightBytes, let command = waiting.popFirst() {
            left += 1
            leftBytes += command.size
            command.begin(at: now)
            // In the same step, because otherwise it would apply to another command.
            if command.isAsking, !command.isDone { send(RedisCommand("ASKING"), of: .asking, at: now) }
            guard command.send(to: &output) else { continue }
            let size = command.size
            inFlightSize += size
            inFlight.append(flight(of: .caller(consume command), size: size, at: now))
        }
        begin(at: now)
        return (left, leftBytes)
    }

    /// Starts the timeouts of the waiting commands, unless they are running.
    func begin(at now: MonotonicTime) {
        for command in waiting.reversed() {
            guard command.begin(at: now) else { return }
        }
    }

    /// Calls `body` with each waiting command, and removes the commands that have ended.
    ///
    /// - Returns: The number of commands that no longer wait, and their size on the wire in bytes.
    mutating func endWaiting(_ body: (PendingCommand) -> Void) -> (count: Int, bytes: Int) {
        for command in waiting { body(command) }
        var (left, leftBytes) = (0, 0)
        waiting.removeAll { command in
            guard command.isDone else { return false }
            left += 1
            leftBytes += command.size
            return true
        }
        return (left, leftBytes)
    }

    /// Adds an internal command of the connection to the output.
    mutating func send(_ command: RedisCommand, of owner: Owner, at now: MonotonicTime) {
        output += command.wire
        inFlightSize += command.wire.count
        inFlight.append(flight(of: owner, size: command.wire.count, at: now))
    }

    private func flight(of owner: Owner, size: Int, at now: MonotonicTime) -> Flight {
        Flight(owner: owner, size: size, sentAt: now, end: total, backlog: total - written)
    }

    /// Returns storage for the next reply.
    func storageForReply() -> [UInt8] {
        if case .caller(let command) = inFlight.first?.owner { command.takeStorage() } else { [] }
    }

    /// Removes and returns the owner of the next reply.
    mutating func land() -> Owner? {
        guard let flight = inFlight.popFirst() else { return nil }
        inFlightSize -= flight.size
        return flight.owner
    }

    /// Removes and returns all commands in flight, and discards the output.
    mutating func abandon() -> Deque<Flight> {
        let flights = inFlight
        inFlight = []
        inFlightSize = 0
        progressAt = nil
        clearOutput()
        return flights
    }

    var isEmpty: Bool { waiting.isEmpty && inFlight.isEmpty }

    // MARK: Output

    var hasOutput: Bool { outputStart < output.count }

    func withOutput<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        output.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[outputStart...])) }
    }

    /// Records that the first `count` bytes of the output have been written.
    mutating func noteWritten(_ count: Int, at now: MonotonicTime) {
        noteDelivered(written + UInt64(count), since: written, at: now)
        outputStart += count
        written += UInt64(count)
        if !hasOutput {
            clearOutput()
        } else if outputStart >= Self.keptOutput, outputStart >= output.count / 2 {
            // Otherwise the memory of a socket that always accepts more would never be freed.
            output.removeSubrange(..<outputStart)
            outputStart = 0
        }
    }

    /// Records that bytes up to `position` of all output have been written or have reached the peer. That is a sign of
    /// life if the next command to be answered had not been delivered completely before.
    mutating func noteDelivered(_ position: UInt64, since former: UInt64, at now: MonotonicTime) {
        guard let first = inFlight.first, former < position, former < first.end else { return }
        progressAt = now
    }

    /// The number of written bytes, or of spare capacity, that may stay in the buffer.
    private static var keptOutput: Int { 1 << 20 }

    private mutating func clearOutput() {
        output.removeAll(keepingCapacity: output.count <= Self.keptOutput)
        outputStart = 0
    }
}
