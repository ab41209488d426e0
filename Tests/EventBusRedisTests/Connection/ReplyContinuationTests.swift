import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct ReplyContinuationTests {
    @Test func `who begins to wait is told of what comes`() async throws {
        let value = try await withUnsafeThrowingContinuation { continuation in
            var waiter = ReplyContinuation<Int>.beginner(continuation)
            waiter.resume(.success(1))
            waiter.resume(.success(2))
        }
        #expect(value == 1)
    }

    @Test func `who was sent for a handler is told when it is back`() async throws {
        var waiter = ReplyContinuation<Int>.nobody
        let nothing = try await withUnsafeThrowingContinuation { continuation in
            waiter = .beginner(continuation)
            waiter.installCancellationHandler()
            waiter.installCancellationHandler()
        }
        #expect(nothing == nil)
        let value = try await withUnsafeThrowingContinuation { continuation in
            waiter.register(continuation)
            waiter.installCancellationHandler()
            waiter.resume(.success(1))
        }
        #expect(value == 1)
    }

    @Test func `what comes while a task is away waits for it`() async throws {
        var waiter = ReplyContinuation<Int>.nobody
        _ = try await withUnsafeThrowingContinuation { continuation in
            waiter = .beginner(continuation)
            waiter.installCancellationHandler()
            waiter.resume(.failure(EventBusError(.timedOut, "late")))
            waiter.resume(.success(1))
        }
        let error = await #expect(throws: EventBusError.self) {
            try await withUnsafeThrowingContinuation { waiter.register($0) }
        }
        #expect(error?.code == .timedOut)
    }

    @Test func `who needs no handler is not sent for one`() async throws {
        let value = try await withUnsafeThrowingContinuation { continuation in
            var waiter = ReplyContinuation<Int>.patient(continuation)
            waiter.installCancellationHandler()
            waiter.resume(.success(1))
        }
        #expect(value == 1)
    }
}
