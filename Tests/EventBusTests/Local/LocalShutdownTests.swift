import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// Events that were emitted for asynchronous local listeners before a shutdown are handled before `run()` returns.
@Suite("Local listeners at the end of a bus", .timeLimit(.minutes(1)))
struct LocalShutdownTests {
    @Test("run() waits for all events of asynchronous listeners", arguments: [false, true])
    func awaited(viaShutdown: Bool) async throws {
        let bus = EventBus(transport: .inMemory())
        let (heard, heardOnce) = (Counter(), Counter())
        bus.local.on(OrderPlaced.self) { _ in
            for _ in 0..<10 { await Task.yield() }
            heard.add()
        }
        bus.local.once("order.#") { _ in
            for _ in 0..<1000 { await Task.yield() }
            heardOnce.add()
        }
        try await bus.withRunning {
            for number in 0..<100 { try await bus.publish(OrderPlaced(number: number)) }
            if viaShutdown { bus.shutdown() }
        }
        #expect(heard.value == 100)
        #expect(heardOnce.value == 1)
        #expect(bus.local.pendingCount == 0)
    }

    @Test("A cancelled run() gives asynchronous listeners the grace period to end")
    func cancelled() async throws {
        var configuration = EventBusConfiguration()
        configuration.cancellationGrace = .seconds(30)
        let bus = EventBus(transport: .inMemory(), configuration: configuration)
        let (door, heard) = (Door(), Counter())
        bus.local.on(OrderPlaced.self) { _ in
            await door.pass()
            heard.add()
        }
        let running = Task { try await bus.run() }
        try await eventually("ready") { bus.health().isReady }
        for number in 0..<10 { bus.local.emit(OrderPlaced(number: number)) }
        running.cancel()
        door.open()
        try await running.value
        #expect(heard.value == 10)
    }

    @Test("Work that is left at the deadline is counted in the error and in the log", arguments: [false, true])
    func left(isCancelled: Bool) async throws {
        let clock = ManualClock()
        let log = InMemoryLogHandler()
        let transport = InMemoryTransport.inMemory(InMemoryBroker(clock: clock))
        let bus = EventBus(transport: transport, logger: Logger(label: "test") { _ in log })
        let (door, entered, heard) = (Door(), Door(), Counter())
        bus.local.on(OrderPlaced.self) { _ in
            entered.open()
            await door.pass()
            heard.add()
        }
        let running = Task { try await bus.run() }
        try await eventually("ready") { bus.health().isReady }
        for number in 0..<5 { bus.local.emit(OrderPlaced(number: number)) }
        await entered.pass()
        if isCancelled { running.cancel() } else { bus.shutdown() }
        let ended = Counter()
        Task {
            _ = try? await running.value
            ended.add()
        }
        // Repeatedly, because the wait for the deadline may start after any step of the clock.
        while ended.value == 0 {
            clock.advance(by: .seconds(1))
            await Task.yield()
        }
        let error = await #expect(throws: EventBusError.self) { try await running.value }
        #expect(error?.code == .shutdownTimedOut)
        #expect(error?.message.contains("5 events") == true)
        #expect(log.entries.contains { "\($0.message)".contains("5 events") })
        #expect(bus.local.pendingCount == 5)
        door.open()
        await bus.local.idle()
        #expect(heard.value == 5)
    }
}
