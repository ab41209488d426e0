import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct CommandBatchTests {
    /// Returns the results of three commands whose connection treats them as `body` does.
    private func replies(_ body: ([PendingCommand]) -> Void) async throws -> [RedisValue]? {
        let batch = CommandBatch((0..<3).map { RedisCommand("ECHO", [.integer($0)]) }, timeout: 1)
        return try await withUnsafeThrowingContinuation { continuation in
            batch.waiter = .beginner(continuation)
            body(batch.commands)
        }
    }

    @Test func `the replies are in the order of the commands, however these ended`() async throws {
        let replies = try await replies { commands in
            for index in [2, 0, 1] { commands[index].finish(.integer(Int64(index))) }
        }
        #expect(replies == [.integer(0), .integer(1), .integer(2)])
    }

    @Test func `the first failure ends the others, and is the one that is thrown`() async throws {
        let error = await #expect(throws: EventBusError.self) {
            try await replies { commands in
                commands[1].fail(EventBusError(.unavailable, "gone"))
                let areDone = commands.allSatisfy(\.isDone)
                #expect(areDone)
                commands[0].finish(.null)
            }
        }
        #expect(error?.code == .unavailable)
    }

    @Test func `where a part was sent, the outcome of all is unknown`() async throws {
        let error = await #expect(throws: EventBusError.self) {
            try await replies { commands in
                var output: [UInt8] = []
                _ = commands[0].send(to: &output)
                commands[0].finish(.null)
                commands[1].expire()
            }
        }
        #expect(error?.code == .indeterminate)
        #expect((error?.underlying as? EventBusError)?.code == .unavailable)
    }

    @Test func `commands that were given up are cancelled, and no error of theirs`() async throws {
        await #expect(throws: CancellationError.self) {
            try await replies { commands in commands[0].cancel() }
        }
    }
}
