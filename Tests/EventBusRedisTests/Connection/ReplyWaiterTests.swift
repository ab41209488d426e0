import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct ReplyWaiterTests {
    @Test func `who begins to wait is told of what comes`() async throws {
        let value = try await withUnsafeThrowingContinuation { continuation in
            var waiter = ReplyWaiter<Int>.beginner(continuation)
            waiter.resume(.success(1))
            waiter.resume(.success(2))
        }
        #expect(value == 1)
    }

    @Test func `who was sent for a handler is told when it is back`() async throws {
        var waiter = ReplyWaiter<Int>.nobody
        let nothing = try await withUnsafeThrowingContinuation { continuation in
            waiter = .beginner(continuation)
            waiter.sendForHandler()
            waiter.sendForHandler()
        }
        #expect(nothing == nil)
        let value = try await withUnsafeThrowingContinuation { continuation in
            waiter.comeBack(continuation)
            waiter.sendForHandler()
            waiter.resume(.success(1))
        }
        #expect(value == 1)
    }

    @Test func `what comes while a task is away waits for it`() async throws {
        var waiter = ReplyWaiter<Int>.nobody
        _ = try await withUnsafeThrowingContinuation { continuation in
            waiter = .beginner(continuation)
            waiter.sendForHandler()
            waiter.resume(.failure(EventBusError(.timedOut, "late")))
            waiter.resume(.success(1))
        }
        let error = await #expect(throws: EventBusError.self) {
            try await withUnsafeThrowingContinuation { waiter.comeBack($0) }
        }
        #expect(error?.code == .timedOut)
    }

    @Test func `who needs no handler is not sent for one`() async throws {
        let value = try await withUnsafeThrowingContinuation { continuation in
            var waiter = ReplyWaiter<Int>.patient(continuation)
            waiter.sendForHandler()
            waiter.resume(.success(1))
        }
        #expect(value == 1)
    }
}
