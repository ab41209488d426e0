import ConnectionThread
import DequeModule
import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct CommandQueueTests {
    private func command(bytes: Int = 1) -> PendingCommand {
        PendingCommand(RedisCommand("ECHO", [.bytes([UInt8](repeating: 0, count: bytes))]), timeout: 0)
    }

    private func taken(from queue: CommandQueue) -> Int {
        var commands = Deque<PendingCommand>()
        queue.take(into: &commands)
        return commands.count
    }

    private func admission(_ queue: CommandQueue, _ command: PendingCommand) -> String {
        text(queue.add(command))
    }

    private func text(_ admission: CommandQueue.Admission) -> String {
        switch admission {
        case .first: "first"
        case .queued: "queued"
        case .refused(let error): "\(error.code)"
        }
    }

    @Test func `the thread is told of the first command only, and again after it has taken them`() {
        let queue = CommandQueue(capacity: 10, byteCapacity: 1000)
        #expect([command(), command(), command()].map { admission(queue, $0) } == ["first", "queued", "queued"])
        #expect(taken(from: queue) == 3)
        #expect(taken(from: queue) == 0)
        #expect(admission(queue, command()) == "first")
    }

    @Test func `what was taken and not sent yet counts until it is noted as gone`() {
        let queue = CommandQueue(capacity: 2, byteCapacity: 1000)
        let commands = [command(), command()]
        for command in commands { _ = queue.add(command) }
        _ = taken(from: queue)
        let blocked = "\(EventBusError.Code.blocked)"
        #expect(admission(queue, command()) == blocked)
        queue.noteLeft(1, bytes: commands[0].size)
        #expect(admission(queue, command()) == "first")
        #expect(admission(queue, command()) == blocked)
    }

    @Test func `bytes are bounded as well, and a single larger command goes alone`() {
        let queue = CommandQueue(capacity: 100, byteCapacity: 1000)
        let blocked = "\(EventBusError.Code.blocked)"
        let large = command(bytes: 5000)
        #expect(admission(queue, large) == "first")
        #expect(admission(queue, command()) == blocked)
        _ = taken(from: queue)
        queue.noteLeft(1, bytes: large.size)

        let half = command(bytes: 600)
        #expect(admission(queue, half) == "first")
        #expect(admission(queue, command(bytes: 600)) == blocked)
        #expect(admission(queue, command(bytes: 100)) == "queued")
    }

    @Test func `commands of one call are taken together or not at all, and alone where they are too many`() {
        let queue = CommandQueue(capacity: 3, byteCapacity: 1000)
        func admission(of count: Int, bytes: Int = 1) -> String {
            text(queue.add(contentsOf: (0..<count).map { _ in command(bytes: bytes) }))
        }
        let blocked = "\(EventBusError.Code.blocked)"
        #expect(admission(of: 2) == "first")
        #expect(admission(of: 2) == blocked)
        #expect(admission(of: 1, bytes: 2000) == blocked)
        #expect(admission(of: 1) == "queued")
        #expect(taken(from: queue) == 3)
        queue.noteLeft(3, bytes: 3 * command().size)
        #expect(admission(of: 10) == "first")
        #expect(admission(of: 1) == blocked)
        queue.setRefusal(EventBusError(.unavailable, "away"))
        #expect(admission(of: 1) == "\(EventBusError.Code.unavailable)")
    }

    @Test func `an open breaker refuses everything with its reason, until it closes`() {
        let queue = CommandQueue(capacity: 10, byteCapacity: 1000)
        queue.setRefusal(EventBusError(.unavailable, "away"))
        #expect(admission(queue, command()) == "\(EventBusError.Code.unavailable)")
        queue.setRefusal(nil)
        #expect(admission(queue, command()) == "first")
    }
}
