import Benchmark
import EventBus
import Foundation
import OpenCombine
import Synchronization

struct OrderCreated: Event {
    static let topic: Topic = "order.created"
    var orderID: String
    var total: Int
}

/// The work of every listener with an event. It is small, so that the delivery dominates the measurement.
// Safe because only the emitting thread touches it, or the one task that drains a mailbox.
final class Sink: @unchecked Sendable {
    var sum = 0

    @inline(__always)
    func take(_ event: OrderCreated) { sum &+= event.total }
}

/// An event in an object, which is the cheapest way in which NotificationCenter carries a value.
final class Boxed: Sendable {
    let event: OrderCreated
    init(_ event: OrderCreated) { self.event = event }
}

/// An emitter as one would write it in five minutes: closures behind a mutex, which are copied out and called.
final class PlainEmitter: Sendable {
    private let listeners = Mutex<[@Sendable (OrderCreated) -> Void]>([])

    func on(_ body: @escaping @Sendable (OrderCreated) -> Void) { listeners.withLock { $0.append(body) } }

    func emit(_ event: OrderCreated) {
        let bodies = listeners.withLock { $0 }
        for body in bodies { body(event) }
    }
}

let benchmarks: @Sendable () -> Void = {
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock],
        warmupIterations: 3,
        scalingFactor: .kilo,
        maxDuration: .seconds(1),
        maxIterations: 100_000
    )
    let event = OrderCreated(orderID: "order-000042-with-a-long-number", total: 42)

    for count in [1, 10] {
        let group = "emit to \(count) listener\(count == 1 ? "" : "s")"

        Benchmark("\(group): LocalEmitter") { benchmark in
            let (emitter, sink) = (LocalEmitter(), Sink())
            for _ in 0..<count { emitter.on(OrderCreated.self) { sink.take($0) } }
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations { emitter.emit(event) }
            benchmark.stopMeasurement()
            check(sink.sum == 42 * count * benchmark.scaledIterations.count)
        }

        Benchmark("\(group): Mutex<[closure]>") { benchmark in
            let (emitter, sink) = (PlainEmitter(), Sink())
            for _ in 0..<count { emitter.on { sink.take($0) } }
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations { emitter.emit(event) }
            benchmark.stopMeasurement()
            check(sink.sum == 42 * count * benchmark.scaledIterations.count)
        }

        Benchmark("\(group): OpenCombine PassthroughSubject") { benchmark in
            let (subject, sink) = (PassthroughSubject<OrderCreated, Never>(), Sink())
            let subscriptions = (0..<count).map { _ in subject.sink { sink.take($0) } }
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations { subject.send(event) }
            benchmark.stopMeasurement()
            withExtendedLifetime(subscriptions) {}
            check(sink.sum == 42 * count * benchmark.scaledIterations.count)
        }

        Benchmark("\(group): Foundation NotificationCenter") { benchmark in
            let (center, sink) = (NotificationCenter(), Sink())
            let name = Notification.Name("order.created")
            let tokens = (0..<count).map { _ in
                center.addObserver(forName: name, object: nil, queue: nil) { notification in
                    if let boxed = notification.object as? Boxed { sink.take(boxed.event) }
                }
            }
            let boxed = Boxed(event)
            benchmark.startMeasurement()
            for _ in benchmark.scaledIterations { center.post(name: name, object: boxed) }
            benchmark.stopMeasurement()
            for token in tokens { center.removeObserver(token) }
            check(sink.sum == 42 * count * benchmark.scaledIterations.count)
        }
    }

    Benchmark("emit to nobody: LocalEmitter") { benchmark in
        let emitter = LocalEmitter()
        emitter.on(Unrelated.self) { _ in }
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { emitter.emit(event) }
        benchmark.stopMeasurement()
    }

    Benchmark("emit to nobody: OpenCombine PassthroughSubject") { benchmark in
        let subject = PassthroughSubject<OrderCreated, Never>()
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { subject.send(event) }
        benchmark.stopMeasurement()
    }

    Benchmark("emit beside 10,000 patterns: LocalEmitter, pattern listener") { benchmark in
        let emitter = crowdedByPattern.emitter
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { emitter.emit(event) }
        benchmark.stopMeasurement()
    }

    Benchmark("emit beside 10,000 patterns: LocalEmitter, typed listener") { benchmark in
        let emitter = crowdedByType.emitter
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { emitter.emit(event) }
        benchmark.stopMeasurement()
    }

    Benchmark("emit and handle in a task: LocalEmitter") { benchmark in
        let (emitter, sink) = (LocalEmitter { _ in check(false) }, Sink())
        emitter.on(OrderCreated.self, capacity: 1_000) { event async in sink.take(event) }
        benchmark.startMeasurement()
        for _ in benchmark.scaledIterations { emitter.emit(event) }
        await emitter.idle()
        benchmark.stopMeasurement()
        check(sink.sum == 42 * benchmark.scaledIterations.count)
    }

    Benchmark("emit and handle in a task: AsyncStream") { benchmark in
        let sink = Sink()
        let (stream, continuation) = AsyncStream.makeStream(
            of: OrderCreated.self,
            bufferingPolicy: .bufferingOldest(1_000)
        )
        benchmark.startMeasurement()
        let consumer = Task { for await event in stream { sink.take(event) } }
        for _ in benchmark.scaledIterations { continuation.yield(event) }
        continuation.finish()
        await consumer.value
        benchmark.stopMeasurement()
        check(sink.sum == 42 * benchmark.scaledIterations.count)
    }
}

struct Unrelated: Event {
    static let topic: Topic = "unrelated"
}

/// Ends the run if a listener did not do its work, so that no figure is based on lost events.
func check(_ condition: Bool) {
    precondition(condition, "events were lost or doubled")
}

let crowdedByPattern = Crowd { emitter, sink in
    emitter.on("order.*") { event in sink.sum &+= 1 }
}

let crowdedByType = Crowd { emitter, sink in
    emitter.on(OrderCreated.self) { event in sink.sum &+= 1 }
}

/// An emitter with 10,000 pattern listeners that match none of the measured events.
final class Crowd: Sendable {
    let emitter = LocalEmitter()

    init(_ register: (LocalEmitter, Sink) -> Void) {
        for number in 0..<5_000 {
            for pattern in ["tenant-\(number).order.*", "tenant-\(number).#"] {
                guard let pattern = try? TopicPattern(validating: pattern) else { preconditionFailure(pattern) }
                emitter.on(pattern) { _ in check(false) }
            }
        }
        register(emitter, Sink())
    }
}
