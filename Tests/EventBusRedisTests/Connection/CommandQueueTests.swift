import ConnectionThread
import DequeModule
import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct CommandQueueTests {
    private func command(bytes: Int = 1) throws -> PendingCommand {
        PendingCommand(RedisCommand("ECHO", [.bytes([UInt8](repeating: 0, count: bytes))]), timeout: 0)
    }

    private func taken(from queue: CommandQueue) -> Int {
        var commands = Deque<PendingCommand>()
        queue.take(into: &commands)
        return commands.count
    }

    private func admission(_ queue: CommandQueue, _ command: PendingCommand) -> String {
        switch queue.add(command) {
        case .first: "first"
        case .queued: "queued"
        case .refused(let error): "\(error.code)"
        }
    }

    @Test func `the thread is told of the first command only, and again after it has taken them`() throws {
        let queue = CommandQueue(capacity: 10, byteCapacity: 1000)
        #expect(try [command(), command(), command()].map { admission(queue, $0) } == ["first", "queued", "queued"])
        #expect(taken(from: queue) == 3)
        #expect(taken(from: queue) == 0)
        #expect(try admission(queue, command()) == "first")
    }

    @Test func `what was taken and not sent yet counts until it is noted as gone`() throws {
        let queue = CommandQueue(capacity: 2, byteCapacity: 1000)
        let commands = try [command(), command()]
        for command in commands { _ = queue.add(command) }
        _ = taken(from: queue)
        let blocked = "\(EventBusError.Code.blocked)"
        #expect(try admission(queue, command()) == blocked)
        queue.noteLeft(1, bytes: commands[0].size)
        #expect(try admission(queue, command()) == "first")
        #expect(try admission(queue, command()) == blocked)
    }

    @Test func `bytes are bounded as well, and a single larger command goes alone`() throws {
        let queue = CommandQueue(capacity: 100, byteCapacity: 1000)
        let blocked = "\(EventBusError.Code.blocked)"
        let large = try command(bytes: 5000)
        #expect(admission(queue, large) == "first")
        #expect(try admission(queue, command()) == blocked)
        _ = taken(from: queue)
        queue.noteLeft(1, bytes: large.size)

        let half = try command(bytes: 600)
        #expect(admission(queue, half) == "first")
        #expect(try admission(queue, command(bytes: 600)) == blocked)
        #expect(try admission(queue, command(bytes: 100)) == "queued")
    }

    @Test func `an open breaker refuses everything with its reason, until it closes`() throws {
        let queue = CommandQueue(capacity: 10, byteCapacity: 1000)
        queue.setRefusal(EventBusError(.unavailable, "away"))
        #expect(try admission(queue, command()) == "\(EventBusError.Code.unavailable)")
        queue.setRefusal(nil)
        #expect(try admission(queue, command()) == "first")
    }
}
