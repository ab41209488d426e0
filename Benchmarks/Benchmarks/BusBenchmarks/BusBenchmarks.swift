import Benchmark
import EventBus
import EventBusInMemory
import Synchronization

struct OrderCreated: Event {
    static let topic: Topic = "order.created"
    struct Line: Codable, Sendable {
        var sku: String
        var quantity: Int
        var unitPrice: String
    }
    var orderID: String
    var lines: [Line]

    /// An event of about 300 bytes of JSON.
    static let sample = OrderCreated(
        orderID: "order-000042",
        lines: (1...5).map { Line(sku: "NW-00\($0)", quantity: $0, unitPrice: "14.00") }
    )
}

/// A codec that encodes to nothing, so that only the bus is measured.
struct NoCodec: EventCodec {
    var contentType: String { "application/x-nothing" }
    func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] { [] }
    func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
        guard let value = OrderCreated.sample as? Value else { throw EventBusError(.decodingFailed, "not the sample") }
        return value
    }
}

/// The number of events that a bus carries before it is measured.
let warmUp = 1000

/// Publishes `count` events and waits until all are handled and acknowledged, which is one sample.
func publishAndHandle(
    _ benchmark: Benchmark,
    codec: any EventCodec,
    otherGroups: Int = 0,
    batch: Int = 1
) async throws {
    var configuration = EventBusConfiguration()
    configuration.codec = codec
    let broker = InMemoryBroker()
    let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
    let count = benchmark.scaledIterations.count
    let handled = Handled()
    let subscription = bus.subscribe(
        to: OrderCreated.self,
        group: "inventory",
        options: .init(concurrency: 1)
    ) { _, _ in handled.add() }
    for number in 0..<otherGroups {
        let pattern = try TopicPattern(validating: "other.\(number).*")
        bus.subscribe(to: pattern, group: "group\(number)", options: .init(concurrency: 1)) { _, _ in }
    }
    async let running: Void = bus.run()
    try await subscription.attached()
    // The first events wait until the bus runs, and find cold caches.
    for _ in 0..<warmUp { try await bus.publish(OrderCreated.sample) }
    try await broker.settled(within: .seconds(300))
    benchmark.startMeasurement()
    if batch == 1 {
        for _ in 0..<count { try await bus.publish(OrderCreated.sample) }
    } else {
        for _ in 0..<(count / batch) {
            let results = try await bus.publish(contentsOf: repeatElement(OrderCreated.sample, count: batch))
            for result in results { _ = try result.get() }
        }
    }
    try await broker.settled(within: .seconds(300))
    benchmark.stopMeasurement()
    bus.shutdown()
    try await running
    precondition(handled.count == count + warmUp, "\(handled.count) of \(count + warmUp) were handled")
}

final class Handled: Sendable {
    private let number = Atomic<Int>(0)
    var count: Int { number.load(ordering: .relaxed) }
    func add() { number.wrappingAdd(1, ordering: .relaxed) }
}

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock],
        warmupIterations: 1,
        scalingFactor: .kilo,
        maxDuration: .seconds(2),
        maxIterations: 1000
    )
    let group = "publish, handle, acknowledge in memory"

    Benchmark("\(group): EventBus, no codec, 10^3 events") { benchmark in
        try await publishAndHandle(benchmark, codec: NoCodec())
    }
    Benchmark(
        "\(group): EventBus, no codec, 10^6 events",
        configuration: .init(warmupIterations: 0, scalingFactor: .mega, maxDuration: .seconds(8), maxIterations: 3)
    ) { benchmark in
        try await publishAndHandle(benchmark, codec: NoCodec())
    }
    Benchmark("\(group): EventBus, no codec, beside 1,000 other groups") { benchmark in
        try await publishAndHandle(benchmark, codec: NoCodec(), otherGroups: 1000)
    }
    Benchmark("\(group): EventBus, no codec, in batches of 100") { benchmark in
        try await publishAndHandle(benchmark, codec: NoCodec(), batch: 100)
    }
    Benchmark("\(group): EventBus, JSON") { benchmark in
        try await publishAndHandle(benchmark, codec: JSONEventCodec())
    }
    Benchmark("\(group): JSON alone, encode and decode") { benchmark in
        let codec = JSONEventCodec()
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations {
            blackHole(try codec.decode(OrderCreated.self, from: try codec.encode(OrderCreated.sample)))
        }
        benchmark.stopMeasurement()
    }
    Benchmark("\(group): AsyncStream, no bus") { benchmark in
        let (stream, continuation) = AsyncStream<OrderCreated>.makeStream()
        let count = benchmark.scaledIterations.count
        benchmark.startMeasurement()
        let consumer = Task {
            var handled = 0
            for await _ in stream { handled += 1 }
            return handled
        }
        for _ in 0..<count { continuation.yield(OrderCreated.sample) }
        continuation.finish()
        let handled = await consumer.value
        precondition(handled == count)
        benchmark.stopMeasurement()
    }
}
