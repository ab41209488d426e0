import ConnectionThread
import EventBus

/// A pending command, and the task that waits for its reply.
///
/// It ends exactly once, by the first of these: the reply, its deadline, the cancellation of its caller, or the loss of
/// the connection. A command that was sent keeps its place among those in flight even after it has ended. Its late
/// reply is then assigned to it and discarded, instead of being taken for the reply to the next command.
// Safe because the caller that creates it hands it over through the queue's lock. Afterwards only the connection's
// thread touches it.
final class PendingCommand: @unchecked Sendable {
    private var command: RedisCommand
    /// Its size on the wire, in bytes.
    let size: Int
    /// A Boolean value indicating whether `ASKING` has to be sent directly before it.
    var isAsking: Bool { command.isAsking }
    /// A Boolean value indicating whether it waits for the data of other commands while that moves.
    var waitsForOthers: Bool { command.waitsForOthers }
    /// Its timeout in nanoseconds, which starts when the connection takes it.
    let timeout: UInt64
    /// The time at which the connection took it.
    private(set) var begunAt: MonotonicTime?
    private(set) var isSent = false
    private(set) var isDone = false
    /// The task that waits for it, unless it is part of a batch.
    var waiter = ReplyContinuation<RedisValue>.nobody
    /// The batch that it is part of until it has ended, and its index there.
    private var batch: CommandBatch?
    private let index: Int
    /// The metrics that its end is recorded in, and the time of the call.
    private var measurement: (metrics: CommandMetrics, start: MonotonicTime)?

    init(_ command: RedisCommand, timeout: UInt64, in batch: CommandBatch? = nil, index: Int = 0) {
        self.command = command
        self.size = command.wire.count
        self.timeout = timeout
        self.batch = batch
        self.index = index
    }

    /// Records its duration and its outcome when it ends.
    func measure(with metrics: ClientMetrics) {
        measurement = (metrics.metrics(of: command), .now)
    }

    /// Makes the waiting task responsive to cancellation from now on.
    func installCancellationHandler() {
        if let batch { batch.waiter.installCancellationHandler() } else { waiter.installCancellationHandler() }
    }

    /// The end of its timeout, or `nil` until the connection has taken it.
    var deadline: MonotonicTime? { begunAt?.advanced(byNanoseconds: timeout) }

    /// Records that the connection has taken it. Returns `false` if that was already recorded.
    @discardableResult
    func begin(at now: MonotonicTime) -> Bool {
        guard begunAt == nil else { return false }
        begunAt = now
        return true
    }

    /// Appends the command to the output and marks it as sent. Returns `false` if it has already ended and must not be
    /// sent.
    func send(to output: inout [UInt8]) -> Bool {
        if isDone { return false }
        output += command.wire
        isSent = true
        return true
    }

    /// Returns the storage of a command that was sent, so that it can be reused for the reply. Memory that one thread
    /// allocates and another one frees costs far more than a few unused bytes.
    func takeStorage() -> [UInt8] {
        var storage: [UInt8] = []
        swap(&command.wire, &storage)
        return storage
    }

    func finish(_ reply: consuming RedisValue) {
        if let onReply = command.onReply, !isDone { onReply(reply) }
        end(.success(reply))
    }

    /// Ends the command with an error because no reply will arrive. If it was sent, it may have had its effect.
    func fail(_ reason: EventBusError) {
        let error =
            isSent
            ? EventBusError(
                .indeterminate,
                "the connection to Redis was lost after a command was sent; it may have been carried out",
                underlying: reason
            )
            : reason
        end(.failure(error))
    }

    /// Ends the command with the error of a server that did not execute it.
    func refuse(_ error: EventBusError) {
        end(.failure(error))
    }

    /// Ends the command because its time is over.
    ///
    /// - Parameter isBusy: `true` if data of other commands moves on the connection. Defaults to `false`.
    func expire(isBusy: Bool = false) {
        let cause: (any Error)? = isBusy ? BusyConnection() : nil
        let error =
            isSent
            ? EventBusError(
                .indeterminate,
                "Redis did not answer in time; the command may be carried out",
                underlying: cause
            )
            : EventBusError(
                .unavailable,
                "the command could not be sent to Redis",
                underlying: cause ?? EventBusError(.timedOut, "there was no connection to Redis in time")
            )
        end(.failure(error))
    }

    func cancel() {
        end(.failure(CancellationError()))
    }

    private func end(_ result: consuming Result<RedisValue, any Error>) {
        guard !isDone else { return }
        isDone = true
        if let measurement {
            let duration = measurement.start.duration(to: .now)
            measurement.metrics.note(result, after: Int64(clamping: MonotonicTime.nanoseconds(duration)))
        }
        guard let batch else { return waiter.resume(result) }
        self.batch = nil
        batch.finish(index, result)
    }
}

/// The cause of a timeout on a connection on which data of other commands moves. The server is not silent.
struct BusyConnection: Error, CustomStringConvertible {
    var description: String { "the connection is busy with large values" }
}

extension EventBusError {
    /// A Boolean value indicating whether the time was over while data of other commands moved on the connection.
    var isOfBusyConnection: Bool {
        underlying is BusyConnection || (underlying as? EventBusError)?.isOfBusyConnection == true
    }
}

/// A batch of commands that are sent together, for a task that waits for all of their replies.
// Safe for the same reasons as the commands.
final class CommandBatch: @unchecked Sendable {
    private(set) var commands: [PendingCommand] = []
    var waiter = ReplyContinuation<[RedisValue]>.nobody
    private var replies: [RedisValue]
    private var missing: Int
    private var failure: (any Error)?

    /// Creates a batch of at least one command.
    init(_ commands: [RedisCommand], timeout: UInt64) {
        self.replies = Array(repeating: .null, count: commands.count)
        self.missing = commands.count
        self.commands = commands.enumerated().map { index, command in
            PendingCommand(command, timeout: timeout, in: self, index: index)
        }
    }

    func cancel() {
        for command in commands { command.cancel() }
    }

    /// Records the result of one command. The first failure ends the others as well, and the task is resumed when all
    /// have ended.
    fileprivate func finish(_ index: Int, _ result: Result<RedisValue, any Error>) {
        missing -= 1
        let isLast = missing == 0
        switch result {
        case .success(let reply): replies[index] = reply
        case .failure(let error):
            if failure == nil {
                failure = outcome(error)
                cancel()
            }
        }
        if isLast { waiter.resume(failure.map { .failure($0) } ?? .success(replies)) }
    }

    /// Returns the error for the whole batch, given the error of one command. That command may not have been sent while
    /// another was.
    private func outcome(_ error: any Error) -> any Error {
        guard let error = error as? EventBusError, error.code != .indeterminate, commands.contains(where: \.isSent)
        else {
            return error
        }
        return EventBusError(
            .indeterminate,
            "of commands sent to Redis in one go one could not be sent; those before it may have been carried out",
            underlying: error
        )
    }
}
