import ConnectionThread
import DequeModule

/// What a connection has to send, and what it has sent and waits for: the order that matches replies to commands.
struct CommandTraffic {
    enum Owner {
        case caller(PendingCommand)
        case greeting
        case heartbeat
        case roleCheck
    }

    struct Flight {
        let owner: Owner
        let size: Int
        let sentAt: MonotonicTime
        /// Where it ends, in bytes of all output so far.
        let end: UInt64
    }

    /// Not sent yet, in the order in which they were taken.
    private(set) var waiting = Deque<PendingCommand>()
    /// Sent, in the order in which their replies come.
    private(set) var inFlight = Deque<Flight>()
    private var inFlightSize = 0
    /// Bytes on their way to the socket, the first `outputStart` of which have left.
    private(set) var output: [UInt8] = []
    private var outputStart = 0
    /// How many bytes have left so far.
    private(set) var written: UInt64 = 0
    /// When bytes of the command whose reply comes next last left.
    private(set) var progressAt: MonotonicTime?

    /// How many bytes there are so far, those that have left included.
    private var total: UInt64 { written + UInt64(output.count - outputStart) }

    /// Takes what was submitted. `commands` is empty afterwards.
    mutating func admit(_ commands: inout Deque<PendingCommand>) {
        if waiting.isEmpty {
            swap(&waiting, &commands)
        } else {
            waiting.append(contentsOf: commands)
            commands.removeAll(keepingCapacity: true)
        }
    }

    /// Puts what waits into the output, as far as there may be more in flight. The time of all that was admitted has
    /// begun when it returns.
    ///
    /// - Returns: how many no longer wait, and what they take on the wire, in bytes.
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
            guard command.send(to: &output) else { continue }
            let size = command.size
            inFlightSize += size
            inFlight.append(Flight(owner: .caller(consume command), size: size, sentAt: now, end: total))
        }
        begin(at: now)
        return (left, leftBytes)
    }

    /// Lets the time of what waits begin, where it has not.
    func begin(at now: MonotonicTime) {
        for command in waiting.reversed() {
            guard command.begin(at: now) else { return }
        }
    }

    /// Ends what waits by `body`, and forgets what has ended.
    ///
    /// - Returns: how many no longer wait, and what they take on the wire, in bytes.
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

    /// Puts a command of the connection's own into the output.
    mutating func send(_ command: RedisCommand, of owner: Owner, at now: MonotonicTime) {
        output += command.wire
        inFlightSize += command.wire.count
        inFlight.append(Flight(owner: owner, size: command.wire.count, sentAt: now, end: total))
    }

    /// Storage for the reply that comes next.
    func storageForReply() -> [UInt8] {
        if case .caller(let command) = inFlight.first?.owner { command.takeStorage() } else { [] }
    }

    /// Whose reply comes next.
    mutating func land() -> Owner? {
        guard let flight = inFlight.popFirst() else { return nil }
        inFlightSize -= flight.size
        return flight.owner
    }

    /// Forgets what is in flight and on its way there, and returns it.
    mutating func abandon() -> Deque<Flight> {
        let flights = inFlight
        inFlight = []
        inFlightSize = 0
        progressAt = nil
        clearOutput()
        return flights
    }

    var isEmpty: Bool { waiting.isEmpty && inFlight.isEmpty }

    // MARK: the output

    var hasOutput: Bool { outputStart < output.count }

    func withOutput<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        output.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[outputStart...])) }
    }

    /// Notes that the first `count` bytes of the output have left.
    mutating func noteWritten(_ count: Int, at now: MonotonicTime) {
        noteDelivered(written + UInt64(count), since: written, at: now)
        outputStart += count
        written += UInt64(count)
        if !hasOutput {
            clearOutput()
        } else if outputStart >= Self.keptOutput, outputStart >= output.count / 2 {
            // Else a socket that always has more to take would never let go of what it has taken.
            output.removeSubrange(..<outputStart)
            outputStart = 0
        }
    }

    /// Notes that bytes have left, or reached the peer, up to `position` of all output: a sign of life if the command whose
    /// reply comes next was not there as a whole before.
    mutating func noteDelivered(_ position: UInt64, since former: UInt64, at now: MonotonicTime) {
        guard let first = inFlight.first, former < position, former < first.end else { return }
        progressAt = now
    }

    /// So many bytes that are no longer needed, or capacity for so many, are kept.
    private static var keptOutput: Int { 1 << 20 }

    private mutating func clearOutput() {
        output.removeAll(keepingCapacity: output.count <= Self.keptOutput)
        outputStart = 0
    }
}
