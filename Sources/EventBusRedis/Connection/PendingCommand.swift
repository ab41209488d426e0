import ConnectionThread
import EventBus

/// A command on its way, and who waits for its reply.
///
/// It ends once, by whatever comes first: the reply, its deadline, its caller's cancellation, the loss of the
/// connection. A command that was sent keeps its place among those in flight however it ended, so that its late reply
/// is taken by it and thrown away, and not by the command behind it.
// Safe: made by the caller, who hands it over through the queue's lock; after that touched by the connection's thread
// only.
final class PendingCommand: @unchecked Sendable {
    private var command: RedisCommand
    /// What it takes on the wire, in bytes.
    let size: Int
    /// How long it may take, in nanoseconds from when the connection takes it.
    let timeout: UInt64
    /// When the connection took it.
    private(set) var begunAt: MonotonicTime?
    private(set) var isSent = false
    private(set) var isDone = false
    /// The task that waits for it, if it was sent by itself.
    var waiter = ReplyWaiter<RedisValue>.nobody
    /// What it belongs to if it was not, until it has ended, and its number there.
    private var batch: CommandBatch?
    private let index: Int

    init(_ command: RedisCommand, timeout: UInt64, in batch: CommandBatch? = nil, index: Int = 0) {
        self.command = command
        self.size = command.wire.count
        self.timeout = timeout
        self.batch = batch
        self.index = index
    }

    /// Lets the task that waits notice its cancellation from now on.
    func sendForHandler() {
        if let batch { batch.waiter.sendForHandler() } else { waiter.sendForHandler() }
    }

    /// When it is overdue; unknown until the connection has taken it.
    var deadline: MonotonicTime? { begunAt?.advanced(byNanoseconds: timeout) }

    /// Notes that the connection has taken it; false if that was known.
    @discardableResult
    func begin(at now: MonotonicTime) -> Bool {
        guard begunAt == nil else { return false }
        begunAt = now
        return true
    }

    /// Puts the command into the output, and notes that it goes out now; false if it has ended before and must not.
    func send(to output: inout [UInt8]) -> Bool {
        if isDone { return false }
        output += command.wire
        isSent = true
        return true
    }

    /// The storage of a command that was sent, for its reply: what one thread allocates and the other frees costs both
    /// of them far more than a few bytes that nobody uses.
    func takeStorage() -> [UInt8] {
        var storage: [UInt8] = []
        swap(&command.wire, &storage)
        return storage
    }

    func finish(_ reply: consuming RedisValue) {
        end(.success(reply))
    }

    /// Ends the command because no reply will come: it may have had its effect if it was sent.
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

    func expire() {
        let error =
            isSent
            ? EventBusError(.indeterminate, "Redis did not answer in time; the command may be carried out")
            : EventBusError(.timedOut, "the command could not be sent to Redis in time")
        end(.failure(error))
    }

    func cancel() {
        end(.failure(CancellationError()))
    }

    private func end(_ result: consuming Result<RedisValue, any Error>) {
        guard !isDone else { return }
        isDone = true
        guard let batch else { return waiter.resume(result) }
        self.batch = nil
        batch.finish(index, result)
    }
}

/// Commands that were sent in one go, for a task that waits for all of their replies.
// Safe: as the commands are.
final class CommandBatch: @unchecked Sendable {
    private(set) var commands: [PendingCommand] = []
    var waiter = ReplyWaiter<[RedisValue]>.nobody
    private var replies: [RedisValue]
    private var missing: Int
    private var failure: (any Error)?

    /// A batch of at least one command.
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

    /// Notes how one of them ended. The first failure ends the others as well; the task is resumed when all have ended.
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

    /// What the failure of one means for all: where that one was not sent, another may have been.
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
