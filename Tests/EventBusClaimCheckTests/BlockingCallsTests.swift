import Dispatch
import EventBus
import EventBusTesting
import Testing

@testable import EventBusClaimCheck

@Suite("Blocking calls", .timeLimit(.minutes(1)))
struct BlockingCallsTests {
    private struct Failed: Error {}

    @Test("A call returns its value or throws its error")
    func results() async throws {
        let calls = BlockingCalls(limit: 1)
        let seven = try await calls.run { 7 }
        #expect(seven == 7)
        await #expect(throws: Failed.self) { try await calls.run { throw Failed() } }
        let eight = try await calls.run { 8 }
        #expect(eight == 8)
    }

    @Test("A cancelled task waits neither for a call that hangs nor for its turn, and the calls keep their places")
    func cancelled() async throws {
        let calls = BlockingCalls(limit: 2)
        let hanging = HangingCall()
        defer { for _ in 0..<2 { hanging.gate.signal() } }
        var tasks: [Task<Void, any Error>] = []
        for _ in 0..<3 { tasks.append(Task { try await calls.run { hanging.call() } }) }
        try await eventually("two calls hang") { hanging.count == 2 }
        for task in tasks {
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
        }
        let next = Task { try await calls.run { hanging.count } }
        for _ in 0..<100 { await Task.yield() }
        hanging.gate.signal()
        let count = try await next.value
        #expect(count == 2)
    }
}

/// A call that hangs until it is told to end.
private final class HangingCall: Sendable {
    let gate = DispatchSemaphore(value: 0)
    private let began = Locked(0)

    /// The number of calls that have begun.
    var count: Int { began.withLock { $0 } }

    func call() {
        began.withLock { $0 += 1 }
        gate.wait()
    }
}
