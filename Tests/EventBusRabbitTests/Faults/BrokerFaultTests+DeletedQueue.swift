import EventBus
import EventBusTesting
import Testing

@testable import EventBusRabbit

extension FaultTests.BrokerFaultTests {
    @Test func `events in hand of a queue that is deleted under a memory alarm are handled after it`() async throws {
        let broker = try await FaultTests.broker()
        let name = freshName()
        let configuration = try broker.configuration {
            $0.exchange = "events-\(name)"
            $0.orphanTimeout = .milliseconds(300)
        }
        let topic = try Topic(validating: "\(name).probe")
        let queue = "group-\(name).probe"
        let bus = try EventBus(transport: .rabbit(configuration))
        let (begun, handled) = (SeenNumbers(), SeenNumbers())
        let mayEnd = Signal()
        bus.subscribe(
            to: TopicPattern(topic),
            group: "group-\(name)",
            name: "probe",
            options: .init(concurrency: 1, prefetch: 10)
        ) { event, _ in
            begun.note(event.envelope)
            try await mayEnd.wait()
            handled.note(event.envelope)
        }
        try await bus.withRunning {
            for number in 0..<10 {
                try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)))
            }
            try await eventually("one is being handled, the others are prefetched") {
                let waiting = try await RawClient.count(queue: queue, configuration)
                return begun.count == 1 && waiting == 0
            }
            try await underAlarm(broker) {
                try await RawClient.delete(queue: queue, configuration)
                try await eventually("the copies were refused") {
                    bus.health().components.contains { $0.reason?.contains("10 events of the deleted queue") == true }
                }
            }
            mayEnd.raise()
            try await eventually("all are handled") { handled.all == Set(0..<10) }
            try await eventually("ready") { bus.health().isReady }
        }
    }
}
