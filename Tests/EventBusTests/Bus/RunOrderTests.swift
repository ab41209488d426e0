import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

/// Every order of `run()`, `shutdown()`, cancellation and `withRunning` has one outcome.
@Suite("Order of starting and stopping", .timeLimit(.minutes(1)))
struct RunOrderTests {
    /// The calls, in order. Each has to end before the next one.
    enum Step: String, Sendable {
        case run, cancelledRun, shutdown, withRunning, publish
    }

    private func outcome(of step: Step, on bus: EventBus) async -> String {
        do {
            switch step {
            case .run:
                async let running: Void = bus.run()
                // A running bus is shut down when it is ready.
                try await eventually("over or ready") {
                    bus.health().isReady || bus.health().reason.contains("shut down")
                }
                bus.shutdown()
                try await running
            case .cancelledRun:
                let running = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    try await bus.run()
                }
                try await running.value
            case .shutdown:
                bus.shutdown()
            case .withRunning:
                try await bus.withRunning {}
            case .publish:
                try await bus.publish(OrderCreated(orderID: "1"), options: .init(deadline: .seconds(5)))
            }
            return "returns"
        } catch let error as EventBusError {
            return "\(error.code)"
        } catch {
            return "\(type(of: error))"
        }
    }

    @Test(
        "One after another",
        arguments: [
            ([.run, .run], ["returns", "alreadyRunning"]),
            ([.run, .withRunning], ["returns", "alreadyRunning"]),
            ([.run, .shutdown, .shutdown], ["returns", "returns", "returns"]),
            ([.run, .publish], ["returns", "shuttingDown"]),
            ([.shutdown, .run], ["returns", "shuttingDown"]),
            ([.shutdown, .run, .run], ["returns", "shuttingDown", "shuttingDown"]),
            ([.shutdown, .cancelledRun], ["returns", "shuttingDown"]),
            ([.shutdown, .withRunning], ["returns", "shuttingDown"]),
            ([.shutdown, .shutdown, .publish], ["returns", "returns", "shuttingDown"]),
            ([.cancelledRun, .run], ["returns", "alreadyRunning"]),
            ([.cancelledRun, .publish], ["returns", "shuttingDown"]),
            ([.withRunning, .run], ["returns", "alreadyRunning"]),
            ([.withRunning, .withRunning], ["returns", "alreadyRunning"]),
        ] as [([Step], [String])]
    )
    func sequences(steps: [Step], expected: [String]) async {
        let bus = EventBus(transport: .inMemory())
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        var outcomes: [String] = []
        for step in steps { outcomes.append(await outcome(of: step, on: bus)) }
        #expect(outcomes == expected, "\(steps)")
    }

    @Test("withRunning on a running bus throws, runs no body, and does not affect the bus")
    func withRunningTwice() async throws {
        let bus = EventBus(transport: .inMemory())
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        try await bus.withRunning {
            let hasRun = Locked(false)
            let error = await #expect(throws: EventBusError.self) {
                try await bus.withRunning { hasRun.withLock { $0 = true } }
            }
            #expect(error?.code == .alreadyRunning)
            #expect(!hasRun.withLock { $0 })
            #expect(bus.health().isReady)
            let receipt = try await bus.publish(OrderCreated(orderID: "1"))
            #expect(receipt.outcome == .routed)
        }
    }

    @Test("A bus that is shut down while it starts runs no body and throws")
    func shutdownWhileStarting() async throws {
        let attaching = Signal()
        let transport = ForwardingTransport(to: .inMemory()) { _ in
            attaching.raise()
            try await Signal().wait()
        }
        let bus = EventBus(transport: transport)
        bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in }
        let running = Task { try await bus.withRunning { Issue.record("the body ran") } }
        try await attaching.wait()
        bus.shutdown()
        let error = await #expect(throws: EventBusError.self) { try await running.value }
        #expect(error?.code == .shuttingDown)
    }

    @Test("The error of run() after a shutdown reports the shutdown")
    func message() async throws {
        let bus = EventBus(transport: .inMemory())
        bus.shutdown()
        let error = await #expect(throws: EventBusError.self) { try await bus.run() }
        #expect(error?.message.contains("shut down before run()") == true)
    }
}
