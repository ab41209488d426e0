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
        var isScheduled = false
        var refusal: EventBusError?
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
            if let refusal = state.refusal { return .refused(refusal) }
            guard state.count < capacity else {
                return .refused(
                    EventBusError(.blocked, "\(capacity) commands wait to be sent to Redis; it is too slow for them")
                )
            }
            // One that is larger than all that may wait goes alone.
            guard state.count == 0 || state.bytes + command.size <= byteCapacity else {
                return .refused(
                    EventBusError(
                        .blocked,
                        "\(state.bytes) bytes of commands wait to be sent to Redis; it is too slow for them"
                    )
                )
            }
            state.count += 1
            state.bytes += command.size
            state.commands.append(command)
            defer { state.isScheduled = true }
            return state.isScheduled ? .queued : .first
        }
    }

    /// Takes what waits; the next command has to tell the thread again. What was taken counts until ``noteLeft(_:bytes:)``.
    func take() -> Deque<PendingCommand> {
        state.withLock { state in
            state.isScheduled = false
            let commands = state.commands
            state.commands = []
            return commands
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
