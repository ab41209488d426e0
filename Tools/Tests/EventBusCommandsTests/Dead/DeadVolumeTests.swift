import EventBus
import EventBusRabbit
import Foundation
import Synchronization
import Testing

/// A measurement of a hundred thousand dead letters, with `EVENTBUS_TEST_FULL=1`. `EVENTBUS_TOOL` names the program of a
/// release build.
@Suite(
    .enabled(if: TestBroker.isThere && ProcessInfo.processInfo.environment["EVENTBUS_TEST_FULL"] != nil),
    .timeLimit(.minutes(10))
)
struct DeadVolumeTests {
    private static let count = 100_000

    @Test func `many dead letters are grouped and replayed while no service loses its consumer`() async throws {
        let count = Self.count
        let scene = try await Scene()
        for start in stride(from: 0, to: count, by: 5000) {
            try await scene.add((start..<min(start + 5000, count)).map { try scene.letter($0) })
        }
        try await scene.wait(for: count, in: "\(scene.group).dead")
        let transport = try RabbitTransport(scene.configuration)
        let bus = EventBus(transport: transport)
        let handled = Atomic(0)
        bus.subscribe(
            to: try TopicPattern(validating: "order.#"),
            group: scene.group,
            name: "orders"
        ) { _, _ in handled.add(1, ordering: .relaxed) }
        let detached = Mutex<[TransportEvent]>([])
        let events = transport.events()
        let watch = Task {
            for await event in events where event.kind == .consumerDetached || event.kind == .disconnected {
                detached.withLock { $0.append(event) }
            }
        }
        try await bus.withRunning {
            func timed(_ name: String, _ arguments: [String]) async throws -> Tool.Outcome {
                let clock = ContinuousClock()
                let start = clock.now
                let outcome = try await Tool.run(arguments + scene.options, environment: scene.environment)
                let duration = start.duration(to: clock.now)
                print("\(name): \(duration), \(outcome.output)\(outcome.errors)")
                #expect(duration < .seconds(10), "\(name)")
                return outcome
            }
            #expect(try await timed("grouped", ["dead", "groups"]).status == 0)
            let condition = "payload.total >= \(count / 2)"
            let replayed = try await timed("replayed", ["dead", "replay", "--where", condition, "--limit", "1000"])
            #expect(replayed.output.contains("1000 of \(count / 2 + 1000) dead letters replayed"))
            try await scene.wait(for: count - 1000, in: "\(scene.group).dead")
            while handled.load(ordering: .relaxed) < 1000 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(detached.withLock { $0 }.isEmpty)
        }
        watch.cancel()
    }
}
