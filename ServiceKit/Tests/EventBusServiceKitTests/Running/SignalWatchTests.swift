import Glibc
import Synchronization
import Testing

@testable import EventBusServiceKit

@Suite("Signals", .timeLimit(.minutes(1)), .serialized)
struct SignalWatchTests {
    @Test("The first signal requests a graceful end, and each further one an immediate end")
    func twoSignals() async throws {
        let seen = Mutex<[String]>([])
        let watch = SignalWatch(for: [SIGUSR1, SIGUSR2]) { number in
            seen.withLock { $0.append("first \(number)") }
        } onSecond: { number in
            seen.withLock { $0.append("second \(number)") }
        }
        defer { watch.stop() }
        kill(getpid(), SIGUSR1)
        try await eventually("the first is seen") { seen.withLock { $0.count } == 1 }
        kill(getpid(), SIGUSR2)
        try await eventually("the second is seen") { seen.withLock { $0.count } == 2 }
        #expect(seen.withLock { $0 } == ["first \(SIGUSR1)", "second \(SIGUSR2)"])
    }

    @Test("A request to end is remembered until there is something to end")
    func endRequest() {
        let end = ShutdownRequest()
        let count = Atomic(0)
        end.onRequest { count.add(1, ordering: .relaxed) }
        #expect(!end.isRequested && count.load(ordering: .relaxed) == 0)
        end.request()
        #expect(end.isRequested && count.load(ordering: .relaxed) == 1)
        end.onRequest { count.add(10, ordering: .relaxed) }
        #expect(count.load(ordering: .relaxed) == 11)
    }
}
