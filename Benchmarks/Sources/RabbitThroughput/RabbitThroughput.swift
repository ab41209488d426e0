import EventBus
import EventBusRabbit
import Glibc
import Synchronization

/// The work of RabbitPeer through the bus, on the broker that EVENTBUS_TEST_RABBITMQ_URL names:
///
///     RabbitThroughput [--events N] [--queue-type quorum|classic] [--name NAME] [--latency SECONDS] [--typed]
///
/// It publishes N events, then handles and acknowledges them, and prints one line for each half. With `--typed` the
/// events are orders that the default codec encodes, instead of bytes. With `--latency` it publishes 1,000 events a
/// second instead, and prints their latencies.
@main
struct RabbitThroughput {
    /// The number of events in one call of `publish(contentsOf:)`, and the number of concurrent calls. Together they
    /// are twice the window of 1,000, so that it is always full.
    private static let slice = 500
    private static let publishers = 4
    private static let concurrency = 256
    private static let eventsPerSecond = 1000

    private var events = 100_000
    private var queueType = RabbitConfiguration.QueueType.quorum
    private var name = "bus"
    private var latencySeconds: Int?
    private var isTyped = false

    static func main() async throws {
        let program = try RabbitThroughput(arguments: Array(CommandLine.arguments.dropFirst()))
        try await program.run()
    }

    private init(arguments: [String]) throws {
        var rest = arguments[...]
        while let option = rest.popFirst() {
            if option == "--typed" {
                isTyped = true
                continue
            }
            guard let value = rest.popFirst() else {
                throw EventBusError(.invalidConfiguration, "\(option) is unknown, or without its value")
            }
            switch (option, Int(value), RabbitConfiguration.QueueType(rawValue: value)) {
            case ("--events", let number?, _) where number > 0: events = number
            case ("--latency", let number?, _) where number > 0: latencySeconds = number
            case ("--queue-type", _, let type?): queueType = type
            case ("--name", _, _): name = value
            default: throw EventBusError(.invalidConfiguration, "\(option) \(value) is not understood")
            }
        }
    }

    private func run() async throws {
        guard let url = getenv("EVENTBUS_TEST_RABBITMQ_URL") else {
            throw EventBusError(.invalidConfiguration, "EVENTBUS_TEST_RABBITMQ_URL is not set; see Scripts/brokers")
        }
        var rabbit = try RabbitConfiguration(uri: String(cString: url))
        // A separate exchange, so that queues of earlier runs receive no copies.
        rabbit.exchange = name
        rabbit.queueType = queueType
        let queue = QueueSpecification(
            group: name,
            name: "bench-filler",
            patterns: ["bench.filler"],
            prefetch: Self.concurrency
        )
        // Before the bus subscribes, so that the events wait in the queue and the halves do not overlap.
        try await RabbitTransport.declareTopology(for: [queue], on: rabbit)

        var configuration = EventBusConfiguration()
        if !isTyped { configuration.codec = FillerCodec() }
        configuration.publishTimeout = .seconds(120)
        let bus = try EventBus(transport: .rabbit(rabbit), configuration: configuration)
        try await bus.withRunning {
            // RabbitPeer is connected before it reads the clock. Nobody receives this event.
            try await bus.publish(Envelope(topic: "bench.connected", payload: []))
            if let latencySeconds {
                try await measureLatency(on: bus, seconds: latencySeconds)
            } else if isTyped {
                try await publish(on: bus) { PlacedOrder(number: $0) }
                try await consume(PlacedOrder.self, from: bus)
            } else {
                try await publish(on: bus) { Filler(carrying: UInt64($0)) }
                try await consume(Filler.self, from: bus)
            }
        }
        try await RabbitTransport.retireQueue(group: queue.group, name: queue.name, on: rabbit)
    }

    // MARK: Throughput

    private func publish<E: Event>(on bus: EventBus, _ makeEvent: @escaping @Sendable (Int) -> E) async throws {
        let next = Counter()
        let usage = Usage()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<Self.publishers {
                group.addTask {
                    while true {
                        let start = next.add(Self.slice)
                        guard start < events else { return }
                        let slice = (start..<min(start + Self.slice, events)).map(makeEvent)
                        for result in try await bus.publish(contentsOf: slice) {
                            guard try result.get().outcome == .routed else {
                                throw EventBusError(.unroutable, "the queue is not bound")
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        print(usage.report("publish", events: events))
    }

    private func consume<E: Event>(_ type: E.Type, from bus: EventBus) async throws {
        let handled = Counter()
        let first = Mutex<ContinuousClock.Instant?>(nil)
        let (allHandled, continuation) = AsyncStream<Void>.makeStream()
        let usage = Usage()
        let subscription = bus.subscribe(
            to: type,
            group: name,
            options: SubscriptionOptions(concurrency: Self.concurrency)
        ) { _, _ in
            let number = handled.add(1)
            if number == 0 { first.withLock { $0 = .now } }
            if number == events - 1 { continuation.finish() }
        }
        try await subscription.attached()
        for await _ in allHandled {}
        // Returns when the broker has answered, which it does after it has read every acknowledgement.
        await subscription.cancel()
        print(usage.report("consume", events: events, since: first.withLock { $0 }))
    }

    // MARK: Latency

    private func measureLatency(on bus: EventBus, seconds: Int) async throws {
        let latency = Latency()
        let subscription = bus.subscribe(
            to: Filler.self,
            group: name,
            options: SubscriptionOptions(concurrency: Self.concurrency, observers: [latency])
        ) { event, _ in
            latency.handled(since: Filler.number(in: event.bytes))
        }
        try await subscription.attached()
        let count = seconds * Self.eventsPerSecond
        let start = ContinuousClock.now
        try await withThrowingDiscardingTaskGroup { group in
            for number in 0..<count {
                // Events are published on time, whether or not earlier ones are confirmed.
                let due = start.advanced(by: .seconds(1) * number / Self.eventsPerSecond)
                if due > .now { try await Task.sleep(until: due, tolerance: .zero, clock: .continuous) }
                let time = latency.now
                group.addTask {
                    try await bus.publish(Filler(carrying: time))
                    latency.confirmed(since: time)
                }
            }
        }
        let rate = Double(count) / (start.duration(to: .now) / .seconds(1))
        let deadline = ContinuousClock.now.advanced(by: .seconds(10))
        while latency.acknowledgedCount < count, .now < deadline { try await Task.sleep(for: .milliseconds(10)) }
        await subscription.cancel()
        print(latency.report(rate: Int(rate.rounded())))
    }
}

/// A source of consecutive numbers.
private final class Counter: Sendable {
    private let value = Atomic<Int>(0)

    /// Returns the number before `amount` was added.
    func add(_ amount: Int) -> Int { value.wrappingAdd(amount, ordering: .relaxed).oldValue }
}
