import EventBus
import EventBusRabbit
import Synchronization

/// A short load test through a queue that ends with its connection.
struct LoadTest: Sendable {
    /// The result of a test.
    struct Result: Hashable, Sendable, Encodable {
        var events: Int
        /// The payload of an event in bytes.
        var bytes: Int
        var seconds: Double
        var publishedPerSecond: Double
        var consumedPerSecond: Double
        /// The medians and 99th percentiles of the time in milliseconds until the broker confirmed an event.
        var confirmP50: Double
        var confirmP99: Double
    }

    /// The most events that wait in the queue, fewer than it can hold.
    private static let maximumBacklog = RabbitTransport.maximumObservedBacklog / 4
    /// The time for which the last events are waited for.
    private static let patience = Duration.seconds(10)

    let broker: Broker
    let duration: Duration
    let concurrency: Int
    let size: Int

    /// The state that publishers and the consumer share.
    private final class State: Sendable {
        let published = Counter()
        let consumed = Counter()
        let latencies = Mutex<[Double]>([])
    }

    /// Runs the test, until it is over or interrupted.
    func run(_ interruption: Interruption) async throws -> Result {
        let id = EventID().rawValue
        let (topic, queue) = (try Topic(validating: "eventbus-tool.bench.\(id)"), "eventbus-tool.observer.\(id)")
        var broker = broker
        // The default exchange leads to this queue alone, so that no subscription to all topics receives anything.
        broker.configuration.route = { _ in .init(exchange: "", routingKey: queue) }
        let (state, configuration, logger) = (State(), broker.configuration, broker.options.logger)
        let (starts, start) = AsyncStream<Void>.makeStream()
        return try await withThrowingTaskGroup(of: Result?.self) { [broker] group in
            group.addTask {
                try await RabbitTransport.observe(
                    [TopicPattern(topic)],
                    on: configuration,
                    queue: queue,
                    logger: logger
                ) {
                    start.finish()
                } _: { _ in
                    state.consumed.increment()
                }
                return nil
            }
            group.addTask {
                for await _ in starts {}
                return try await broker.withTransport(needs: [.exchange]) { transport in
                    try await publish(topic, on: transport, state, interruption)
                }
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    private func publish(
        _ topic: Topic,
        on transport: RabbitTransport,
        _ state: State,
        _ interruption: Interruption
    ) async throws -> Result {
        let progress = Progress()
        defer { progress.finish() }
        let payload = [UInt8](repeating: UInt8(ascii: "x"), count: size)
        let clock = ContinuousClock()
        let start = clock.now
        let end = start + duration
        try await withThrowingTaskGroup(of: [Double].self) { group in
            for _ in 0..<concurrency {
                group.addTask {
                    var latencies: [Double] = []
                    while clock.now < end, !interruption.isRequested {
                        if state.published.value - state.consumed.value >= Self.maximumBacklog {
                            try await clock.sleep(for: .milliseconds(1))
                            continue
                        }
                        let count = state.published.increment()
                        let event = Envelope(
                            topic: topic,
                            payload: payload,
                            contentType: "application/octet-stream",
                            source: "eventbus-tool"
                        )
                        let sent = clock.now
                        _ = try await transport.publish(
                            event,
                            options: TransportPublishOptions(deadline: transport.clock.now.advanced(by: .seconds(30)))
                        )
                        latencies.append(sent.duration(to: clock.now) / .milliseconds(1))
                        progress.show("\(count.grouped) events published")
                    }
                    return latencies
                }
            }
            for try await latencies in group { state.latencies.withLock { $0 += latencies } }
        }
        let published = start.duration(to: clock.now) / .seconds(1)
        // The last events are on their way.
        let deadline = clock.now + Self.patience
        while state.consumed.value < state.published.value, clock.now < deadline {
            try await clock.sleep(for: .milliseconds(1))
        }
        let consumed = start.duration(to: clock.now) / .seconds(1)
        guard state.consumed.value >= state.published.value else {
            throw CommandFailure(
                "\(state.published.value.counted("event")) were published and \(state.consumed.value.grouped) arrived within "
                    + "\(Self.patience); look for alarms and for other load on the broker"
            )
        }
        let sorted = state.latencies.withLock { $0.sorted() }
        return Result(
            events: sorted.count,
            bytes: size,
            seconds: published,
            publishedPerSecond: Double(sorted.count) / published,
            consumedPerSecond: Double(state.consumed.value) / consumed,
            confirmP50: Self.percentile(50, of: sorted),
            confirmP99: Self.percentile(99, of: sorted)
        )
    }

    /// Returns the smallest value that is not less than a percentage of all values, or zero if there are none.
    static func percentile(_ percentage: Int, of sorted: [Double]) -> Double {
        guard !sorted.isEmpty else { return 0 }
        let rank = (sorted.count * percentage + 99) / 100
        return sorted[max(1, rank) - 1]
    }
}
