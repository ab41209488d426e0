import DequeModule
import EventBus

/// The queue from callers to the connection's thread, and the circuit breaker that they share.
///
/// While the breaker is open, commands are refused immediately, without a hop to the other thread. The connection opens
/// it when an attempt to connect has failed, and its next attempt is the probe. The breaker closes when the server has
/// answered the greeting.
final class CommandQueue: Sendable {
    enum Admission {
        /// The command is queued, and the thread has already been notified.
        case queued
        /// The command is queued, and the caller has to notify the thread.
        case first
        case refused(EventBusError)
    }

    private struct State {
        var commands = Deque<PendingCommand>()
        /// The number of commands that wait to be sent, including those that the connection holds.
        var count = 0
        /// The size of the waiting commands on the wire, in bytes.
        var bytes = 0
        /// The shortest timeout of the queued commands, in nanoseconds.
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

    /// Adds commands in order, either all or none of them.
    func add(contentsOf commands: [PendingCommand]) -> Admission {
        let bytes = commands.reduce(0) { $0 + $1.size }
        let timeout = commands.reduce(UInt64.max) { min($0, $1.timeout) }
        return state.withLock { state in
            if let refusal = refusal(of: commands.count, bytes: bytes, state) { return .refused(refusal) }
            state.commands.append(contentsOf: commands)
            return state.note(commands.count, bytes: bytes, timeout: timeout)
        }
    }

    /// Returns the error for commands that exceed the limits. A call larger than the limits is admitted only if nothing
    /// waits.
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

    /// Removes the queued commands. The next command has to notify the thread again. Removed commands count against the
    /// limits until ``noteLeft(_:bytes:)`` is called.
    ///
    /// - Parameter commands: The removed commands. It must be empty before, and its storage is reused.
    /// - Returns: The shortest timeout of the removed commands, in nanoseconds.
    @discardableResult
    func take(into commands: inout Deque<PendingCommand>) -> UInt64 {
        state.withLock { state in
            state.isScheduled = false
            swap(&state.commands, &commands)
            defer { state.shortestTimeout = .max }
            return state.shortestTimeout
        }
    }

    /// Records that `count` of the removed commands, with a total of `bytes` bytes, no longer wait.
    func noteLeft(_ count: Int, bytes: Int) {
        state.withLock { state in
            state.count -= count
            state.bytes -= bytes
        }
    }

    /// Opens the breaker with the error that callers get, or closes it.
    func setRefusal(_ refusal: EventBusError?) {
        state.withLock { $0.refusal = refusal }
    }

    /// The error with which commands are currently refused, or `nil`.
    var refusal: EventBusError? { state.withLock { $0.refusal } }
}
