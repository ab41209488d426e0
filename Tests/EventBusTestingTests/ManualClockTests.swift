import Dispatch
import EventBus
import EventBusTesting
import Testing

@Suite("Manual clock", .timeLimit(.minutes(1)))
struct ManualClockTests {
    @Test("The time stands still until it is advanced, and never goes back")
    func time() {
        let clock = ManualClock()
        #expect(clock.now.offset == .zero)
        clock.advance(by: .seconds(2))
        clock.advance(to: ManualClock.Instant(offset: .seconds(1)))
        #expect(clock.now.offset == .seconds(2))
    }

    @Test("A sleeper wakes when its deadline is reached, and not earlier")
    func wakesWhenDue() async throws {
        let clock = ManualClock()
        async let slept: Void = clock.sleep(for: .seconds(10))
        try await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(9))
        #expect(clock.sleeperCount == 1)
        clock.advance(by: .seconds(1))
        #expect(clock.sleeperCount == 0)
        try await slept
    }

    @Test("Sleeping until an instant already reached does not suspend")
    func pastDeadline() async throws {
        let clock = ManualClock()
        clock.advance(by: .seconds(5))
        try await clock.sleep(until: ManualClock.Instant(offset: .seconds(5)))
        #expect(clock.sleeperCount == 0)
    }

    @Test("Sleepers are resumed in the order of their deadlines, in whatever order they fell asleep")
    func order() async throws {
        let clock = ManualClock()
        let (woken, wakes) = AsyncStream.makeStream(of: Int.self)
        let queue = FirstInFirstOut()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for seconds in [3, 1, 2] {
                group.addTask(executorPreference: queue) {
                    try await clock.sleep(for: .seconds(seconds))
                    wakes.yield(seconds)
                }
            }
            try await clock.sleepers(atLeast: 3)
            // A sleeper is counted shortly before its task has suspended. This one runs after all three have.
            await Task(executorPreference: queue) {}.value
            clock.advance(by: .seconds(3))
            try await group.waitForAll()
        }
        wakes.finish()
        #expect(await woken.reduce(into: []) { $0.append($1) } == [1, 2, 3])
    }

    @Test("A cancelled sleeper throws immediately and is forgotten")
    func cancelledSleeper() async throws {
        let clock = ManualClock()
        let task = Task { try await clock.sleep(for: .seconds(1)) }
        try await clock.sleepers(atLeast: 1)
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(clock.sleeperCount == 0)
    }

    @Test("Waiting for sleepers ends with cancellation")
    func cancelledObserver() async throws {
        let clock = ManualClock()
        let task = Task { try await clock.sleepers(atLeast: 1) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    @Test("An erased manual clock is manual and advances the clock it wraps")
    func erased() async {
        let clock = ManualClock()
        clock.advance(by: .seconds(5))
        let erased = AnyClock(clock)
        #expect(erased.isManual)
        #expect(erased.now.offset == .zero)
        await erased.advance(to: erased.now.advanced(by: .seconds(2)))
        #expect(clock.now.offset == .seconds(7))
    }
}

/// An executor that runs jobs in order, which makes the order of resumption visible.
///
/// The shared executor has several threads and sorts by priority.
private final class FirstInFirstOut: TaskExecutor {
    private let queue = DispatchQueue(label: "first in, first out")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
