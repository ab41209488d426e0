import DequeModule
import EventBus

/// The way from callers to the connection's thread, and the breaker all of them share.
///
/// While the breaker is open, commands are refused at once, without a step to the other thread. The connection opens it
/// when an attempt to connect has failed, and its next attempt is the probe: the breaker closes when the server has
/// answered the greeting.
final class CommandQueue: Sendable {
    enum Admission {
        /// It waits; the thread knows.
        case queued
        /// It waits, and the thread has to be told.
        case first
        case refused(EventBusError)
    }

    private struct State {
        var commands = Deque<PendingCommand>()
        /// How many wait to be sent, those that the connection holds included.
        var count = 0
        /// What they take on the wire, in bytes.
        var bytes = 0
        /// The shortest time that one of those to be taken may take, in nanoseconds.
        var shortestTimeout = UInt64.max
        var isScheduled = false
        var refusal: EventBusError?

        mutating func note(_ count: Int, bytes: Int, timeout: UInt64) -> Admission {
            self.count += count
            self.bytes += bytes
            shortestTimeout = min(shortestTimeout, timeout)
            defer { isScheduled = true }
            return isScheduled ? .queued : .first
        }
    }

    private let capacity: Int
    private let byteCapacity: Int
    private let state = Locked(State())

    init(capacity: Int, byteCapacity: Int) {
        self.capacity = capacity
        self.byteCapacity = byteCapacity
    }

    func add(_ command: PendingCommand) -> Admission {
        state.withLock { state in
            if let refusal = refusal(of: 1, bytes: command.size, state) { return .refused(refusal) }
            state.commands.append(command)
            return state.note(1, bytes: command.size, timeout: command.timeout)
        }
    }

    /// Adds commands one behind the other, all or none of them.
    func add(contentsOf commands: [PendingCommand]) -> Admission {
        let bytes = commands.reduce(0) { $0 + $1.size }
        let timeout = commands.reduce(UInt64.max) { min($0, $1.timeout) }
        return state.withLock { state in
            if let refusal = refusal(of: commands.count, bytes: bytes, state) { return .refused(refusal) }
            state.commands.append(contentsOf: commands)
            return state.note(commands.count, bytes: bytes, timeout: timeout)
        }
    }

    /// What is larger than all that may wait goes alone.
    private func refusal(of count: Int, bytes: Int, _ state: borrowing State) -> EventBusError? {
        if let refusal = state.refusal { return refusal }
        if state.count == 0 { return nil }
        if state.count + count > capacity {
            return EventBusError(
                .blocked,
                "\(state.count) commands wait to be sent to Redis; \(count) more are beyond maximumQueued, \(capacity)"
            )
        }
        if state.bytes + bytes > byteCapacity {
            return EventBusError(
                .blocked,
                "\(state.bytes) bytes wait to be sent to Redis; \(bytes) more are beyond maximumQueuedBytes, \(byteCapacity)"
            )
        }
        return nil
    }

    /// Takes what waits; the next command has to tell the thread again. What was taken counts until ``noteLeft(_:bytes:)``.
    ///
    /// - Parameter commands: what was taken. Has to be empty before; its storage is used again.
    /// - Returns: the shortest time that one of them may take, in nanoseconds.
    @discardableResult
    func take(into commands: inout Deque<PendingCommand>) -> UInt64 {
        state.withLock { state in
            state.isScheduled = false
            swap(&state.commands, &commands)
            defer { state.shortestTimeout = .max }
            return state.shortestTimeout
        }
    }

    /// Notes that `count` of the commands that were taken, of so many bytes, wait no longer.
    func noteLeft(_ count: Int, bytes: Int) {
        state.withLock { state in
            state.count -= count
            state.bytes -= bytes
        }
    }

    /// Opens the breaker with the reason that callers get, or closes it.
    func setRefusal(_ refusal: EventBusError?) {
        state.withLock { $0.refusal = refusal }
    }

    /// Why commands are refused at present.
    var refusal: EventBusError? { state.withLock { $0.refusal } }
}
