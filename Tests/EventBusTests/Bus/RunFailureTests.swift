import EventBus
import EventBusInMemory
import EventBusTesting
import InMemoryLogging
import Logging
import Testing

/// No handler is running after `run()` has thrown.
@Suite("Errors that end a running bus", .timeLimit(.minutes(1)))
struct RunFailureTests {
    /// The cause that ends `run()` while a handler is working.
    enum Cause: String, CaseIterable, Sendable {
        case transportFails, transportStops, subscriptionFails, cancellation
    }

    private struct Scene {
        var bus: EventBus
        var broker = InMemoryBroker()
        /// A signal that makes the bus fail.
        let strike = Signal()
        let began = Signal()
        let log = InMemoryLogHandler()

        init(_ cause: Cause, grace: Duration) {
            var configuration = EventBusConfiguration()
            configuration.cancellationGrace = grace
            let strike = strike
            var transport = ForwardingTransport(to: .inMemory(broker))
            switch cause {
            case .transportFails:
                transport.onRun = { base in
                    try await Self.run(base) {
                        try await strike.wait()
                        throw EventBusError(.authenticationFailed, "the password was changed")
                    }
                }
            case .transportStops:
                transport.onRun = { base in try await Self.run(base) { try await strike.wait() } }
            case .subscriptionFails:
                transport.onAttach = { base, queue, sink in
                    guard queue.group == "bad" else { return try await base.attach(queue, to: sink) }
                    try await strike.wait()
                    throw EventBusError(.topologyClash, "it has other arguments")
                }
            case .cancellation:
                break
            }
            bus = EventBus(
                transport: transport,
                configuration: configuration,
                logger: Logger(label: "test") { [log] _ in log }
            )
            if cause == .subscriptionFails { bus.subscribe(to: OrderConfirmed.self, group: "bad") { _, _ in } }
        }

        /// Runs a transport until `end` returns or throws.
        private static func run(
            _ transport: any Transport,
            until end: @escaping @Sendable () async throws -> Void
        ) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await transport.run() }
                group.addTask { try await end() }
                defer { group.cancelAll() }
                try await group.next()
            }
        }

        /// Runs the bus, makes it fail while a handler is working, and returns the error.
        func run(_ cause: Cause) async throws -> EventBusError? {
            let running = Task { try await bus.run() }
            try await eventually("attached") { broker.queues.contains { $0.consumers > 0 } }
            let other = EventBus(transport: .inMemory(broker), logger: Logger(label: "quiet") { _ in log })
            try await other.withRunning { _ = try await other.publish(OrderCreated(orderID: "1")) }
            try await began.wait()
            if cause == .cancellation { running.cancel() } else { strike.raise() }
            do {
                try await running.value
                return nil
            } catch {
                return error as? EventBusError
            }
        }
    }

    @Test("The handlers are cancelled and awaited before the error is thrown", arguments: Cause.allCases)
    func awaited(cause: Cause) async throws {
        let scene = Scene(cause, grace: .seconds(50))
        let began = scene.began
        let hasEnded = Locked(false)
        scene.bus.subscribe(to: OrderCreated.self, group: "g") { _, _ in
            began.raise()
            defer { hasEnded.withLock { $0 = true } }
            do {
                try await Signal().wait()
            } catch {
                // The clean-up takes a while.
                for _ in 0..<100 { await Task.yield() }
                throw error
            }
        }
        let error = try await scene.run(cause)
        #expect(hasEnded.withLock { $0 })
        let expected: EventBusError.Code? =
            switch cause {
            case .transportFails: .authenticationFailed
            case .transportStops: .unavailable
            case .subscriptionFails: .topologyClash
            case .cancellation: nil
            }
        #expect(error?.code == expected)
        let health = scene.bus.health()
        #expect(!health.isReady)
        #expect(health.isLive == (cause == .cancellation))
        if cause != .cancellation { #expect(health.reason.contains("run() failed")) }
        let ready = scene.broker.queues.first { $0.name == "g.order-created" }?.ready
        #expect(ready == 1, "the event went back")
    }

    @Test("A handler that ignores its cancellation is named", arguments: Cause.allCases)
    func stubborn(cause: Cause) async throws {
        let scene = Scene(cause, grace: .milliseconds(100))
        let (began, mayEnd) = (scene.began, Signal())
        scene.bus.subscribe(to: OrderCreated.self, group: "stubborn") { _, _ in
            began.raise()
            try await Task { try await mayEnd.wait() }.value
        }
        let error = try await scene.run(cause)
        #expect(error != nil)
        if cause == .cancellation { #expect(error?.code == .shutdownTimedOut) }
        #expect(scene.log.entries.contains { "\($0.message)".contains("stubborn.order-created (1)") })
        mayEnd.raise()
    }
}
