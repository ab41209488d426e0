public import EventBus
internal import EventBusInMemory
internal import EventBusOutbox
public import EventBusTesting
internal import Logging
internal import ServiceLifecycle

/// A conformance suite for outboxes, which checks the promises that an outbox makes on any store.
///
/// ```swift
/// @Test(arguments: OutboxConformance { bus in try await MyOutbox(bus: bus) }.checks)
/// func conforms(check: ConformanceCheck) async throws {
///     try await check.run()
/// }
/// ```
///
/// It uses real time with bounded waits, so that the store may be behind a network. Each check uses an outbox of its own.
public struct OutboxConformance: Sendable {
    private let make: @Sendable (EventBus) async throws -> any OutboxSubject

    /// Creates a suite.
    ///
    /// - Parameter make: A closure that returns an outbox with an empty store for the events of a bus.
    public init(make: @escaping @Sendable (_ bus: EventBus) async throws -> any OutboxSubject) {
        self.make = make
    }

    /// The checks, each for one statement of the contract.
    public var checks: [ConformanceCheck] {
        [
            check("the events of committed transactions are published, those of rolled back ones never") { scene in
                for number in 0..<30 {
                    try await scene.store([scene.order("k", number)], commits: !number.isMultiple(of: 3))
                }
                try await scene.run { try await scene.waitForArrivals(20) }
                try expect(
                    scene.arrived(of: "k") == (0..<30).filter { !$0.isMultiple(of: 3) },
                    "these arrived: \(scene.arrived(of: "k"))"
                )
                let backlog = try await scene.outbox.backlog()
                try expect(backlog == OutboxBacklog(count: 0, oldestAge: nil, parked: 0), "\(backlog) is left")
            },
            check("the events of one key are published in the order in which they were stored") { scene in
                for part in 0..<4 {
                    try await scene.store(
                        (0..<100).map { scene.order($0 < 60 ? "hot" : "key-\($0 % 10)", part * 100 + $0) }
                    )
                }
                try await scene.run { try await scene.waitForArrivals(400) }
                for key in ["hot"] + (0..<10).map({ "key-\($0)" }) {
                    let numbers = scene.arrived(of: key)
                    try expect(numbers == numbers.sorted(), "the events of \(key) arrived as \(numbers)")
                }
                try expect(scene.arrivals.count == 400, "\(scene.arrivals.count) arrived")
            },
            check("events without a subscriber wait, block nobody, and are published in order once there is one") {
                scene in
                try await scene.run {
                    let other: Topic = "conformance.outbox.later"
                    for number in 0..<5 {
                        try await scene.store([
                            scene.order("k", number, topic: other), scene.order("k", number + 100),
                        ])
                    }
                    try await scene.waitForArrivals(5)
                    try await eventually("they should wait") {
                        try await scene.outbox.backlog().withoutSubscriber == 5
                    }
                    scene.subscribe(to: other)
                    try await scene.waitForArrivals(10)
                }
                try expect(scene.arrived(of: "k") == Array(100..<105) + Array(0..<5), "\(scene.arrived(of: "k"))")
            },
            check("an event at fault is parked with the reason, and its key goes on") { scene in
                scene.refusal.fault.withLock { $0 = EventBusError(.tooLarge, "too large to publish") }
                try await scene.run {
                    for number in 0..<3 {
                        try await scene.store([scene.order("bad", number), scene.order("good", number)])
                    }
                    try await scene.waitForArrivals(3)
                    try await eventually("three events should be parked") {
                        try await scene.outbox.backlog().parked == 3
                    }
                    let parked = try await scene.outbox.parked()
                    try expect(parked.count == 3, "\(parked.count) are parked")
                    try expect(
                        parked.allSatisfy { $0.failure.message.contains("too large to publish") },
                        "the reasons are \(parked.map(\.failure.message))"
                    )
                    let discards = [
                        try await scene.outbox.discard(parked[1].id), try await scene.outbox.discard(parked[1].id),
                    ]
                    try expect(discards == [true, false], "discarding twice returned \(discards)")
                    scene.refusal.fault.withLock { $0 = nil }
                    var replays: [Bool] = []
                    for event in parked { replays.append(try await scene.outbox.replay(event.id)) }
                    try expect(replays == [true, false, true], "replaying all returned \(replays)")
                    try await scene.waitForArrivals(5)
                }
                try expect(scene.arrived(of: "bad") == [0, 2], "\(scene.arrived(of: "bad")) arrived")
            },
            check("while the broker refuses events they wait in order, and none is given up") { scene in
                scene.refusal.fault.withLock { $0 = EventBusError(.unavailable, "the broker is down") }
                try await scene.run {
                    for number in 0..<10 { try await scene.store([scene.order("bad", number)]) }
                    try await eventually("the broker should be asked again") {
                        scene.refusal.count.withLock { $0 } > 20
                    }
                    let backlog = try await scene.outbox.backlog()
                    try expect(backlog.count == 10 && backlog.parked == 0, "the backlog is \(backlog)")
                    try expect((backlog.oldestAge ?? .zero) > .zero, "the oldest age is unknown")
                    scene.refusal.fault.withLock { $0 = nil }
                    try await scene.waitForArrivals(10)
                }
                try expect(scene.arrived(of: "bad") == Array(0..<10), "\(scene.arrived(of: "bad"))")
            },
            check("of several relays one publishes, and another takes over when it stops") { scene in
                let relays = try (0..<3).map { _ in RunningRelay(try scene.relay()) }
                try await scene.bus.withRunning {
                    for number in 0..<3 {
                        try await scene.store([scene.order("k", number)])
                        try await scene.waitForArrivals(number + 1)
                        let publishing = relays.filter {
                            let health = $0.relay.health()
                            return health.status == .ready && health.details["publishes"] == 1
                        }
                        try expect(publishing.count == 1, "\(publishing.count) relays publish")
                        try await publishing[0].shutDown()
                    }
                }
                try expect(scene.arrived(of: "k") == [0, 1, 2], "\(scene.arrived(of: "k"))")
            },
            check("a relay that was stopped and started again publishes nothing twice") { scene in
                try await scene.bus.withRunning {
                    for number in 0..<20 {
                        try await scene.store([scene.order("k", number)])
                        try await scene.withRelay { try await scene.waitForArrivals(number + 1) }
                    }
                }
                try expect(scene.arrived(of: "k") == Array(0..<20), "\(scene.arrived(of: "k"))")
            },
            check("an attempt that is repeated after its commit stores the same events under the same identities") {
                scene in
                let effects = Locked<[Int: Int]>([:])
                scene.bus.subscribe(
                    to: Stored.self,
                    group: "conformance-effects",
                    options: SubscriptionOptions(inbox: InMemoryInbox())
                ) { stored in effects.withLock { $0[stored.number, default: 0] += 1 } }
                let identities = Locked<[Int: [EventID]]>([:])
                scene.bus.subscribe(
                    to: Ordered.self,
                    group: "conformance-orders",
                    options: SubscriptionOptions(concurrency: 10, retry: .fixed(.milliseconds(1), maximumAttempts: 3))
                ) { ordered, context in
                    let envelope = try scene.bus.envelope(for: Stored(number: ordered.number))
                    identities.withLock { $0[ordered.number, default: []].append(envelope.id) }
                    try await scene.store([envelope])
                    if context.attempt < 3 { throw Crash() }
                }
                try await scene.run {
                    for number in 0..<20 { try await scene.bus.publish(Ordered(number: number)) }
                    try await eventually("every order has an effect, and nothing is left") {
                        let backlog = try await scene.outbox.backlog()
                        let attempts = identities.withLock { $0.values.reduce(0) { $0 + $1.count } }
                        return attempts == 60 && effects.withLock { $0.count } == 20 && backlog.count == 0
                    }
                }
                let all = identities.withLock { $0.values.map(Set.init) }
                try expect(all.allSatisfy { $0.count == 1 }, "the identities are \(all)")
                try expect(effects.withLock { $0 }.values.allSatisfy { $0 == 1 }, "\(effects.withLock { $0 })")
            },
        ]
    }

    private func check(_ name: String, _ body: @escaping @Sendable (OutboxScene) async throws -> Void)
        -> ConformanceCheck
    {
        ConformanceCheck(name) { [make] in try await body(OutboxScene(make)) }
    }
}

/// An outbox under test, with a bus on which its events arrive.
private struct OutboxScene: Sendable {
    let bus: EventBus
    let outbox: any OutboxSubject
    let arrivals = EventLog<(key: String, number: Int)>()
    let refusal = Refusal()

    private static let topic: Topic = "conformance.outbox.order"

    init(_ make: (EventBus) async throws -> any OutboxSubject) async throws {
        var configuration = EventBusConfiguration()
        configuration.publishMiddleware = [refusal]
        bus = EventBus(transport: .inMemory(), configuration: configuration)
        outbox = try await make(bus)
        subscribe(to: Self.topic)
    }

    func subscribe(to topic: Topic) {
        bus.subscribe(
            to: TopicPattern(topic),
            group: "conformance",
            options: SubscriptionOptions(concurrency: 20, ordering: .byPartitionKey)
        ) { [arrivals] _, context in
            let number = Int(String(decoding: context.envelope.payload, as: UTF8.self)) ?? -1
            arrivals.note((context.envelope.partitionKey ?? "", number))
        }
    }

    func order(_ key: String, _ number: Int, topic: Topic = Self.topic) -> Envelope {
        Envelope(topic: topic, payload: Array("\(number)".utf8), contentType: "text/plain", partitionKey: key)
    }

    func store(_ envelopes: [Envelope], commits: Bool = true) async throws {
        try await outbox.store(envelopes, options: PublishOptions(), commits: commits)
    }

    func relay() throws -> OutboxRelay {
        var configuration = OutboxRelay.Configuration()
        configuration.batchSize = 50
        configuration.pollInterval = .milliseconds(20)
        configuration.maximumRetryInterval = .milliseconds(50)
        configuration.retry.initial = .milliseconds(5)
        configuration.retry.maximum = .milliseconds(20)
        return try outbox.makeRelay(configuration)
    }

    /// Runs the bus and a relay while `body` runs.
    func run(_ body: @escaping @Sendable () async throws -> Void) async throws {
        try await bus.withRunning { try await withRelay(body) }
    }

    /// Runs a relay while `body` runs, and shuts it down gracefully. A cancelled relay may publish an event again.
    func withRelay(_ body: @Sendable () async throws -> Void) async throws {
        let running = RunningRelay(try relay())
        let result: Result<Void, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        try await running.shutDown()
        try result.get()
    }

    func waitForArrivals(_ count: Int) async throws {
        try await eventually("\(count) events should arrive") { arrivals.count >= count }
    }

    func arrived(of key: String) -> [Int] { arrivals.entries.filter { $0.key == key }.map(\.number) }
}

/// A relay that runs until it is shut down gracefully.
private struct RunningRelay: Sendable {
    let relay: OutboxRelay
    private let group: ServiceGroup
    private let task: Task<Void, any Error>

    init(_ relay: OutboxRelay) {
        let logger = Logger(label: "conformance") { _ in SwiftLogNoOpLogHandler() }
        let group = ServiceGroup(services: [relay], logger: logger)
        (self.relay, self.group) = (relay, group)
        task = Task { try await group.run() }
    }

    func shutDown() async throws {
        await group.triggerGracefulShutdown()
        try await task.value
    }
}

private struct Ordered: Event {
    static let topic: Topic = "conformance.outbox.ordered"
    var number: Int
}

private struct Stored: Event {
    static let topic: Topic = "conformance.outbox.stored"
    var number: Int
}

/// The error of a handler that has committed and does not get to its acknowledgement.
private struct Crash: Error {}

/// Publish middleware that refuses the events of the key `bad`.
private final class Refusal: PublishMiddleware {
    /// The error of each refusal, or `nil` if nothing is refused.
    let fault = Locked<EventBusError?>(nil)
    /// The number of refused events.
    let count = Locked(0)

    func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
        if event.envelope.partitionKey == "bad", let error = fault.withLock({ $0 }) {
            count.withLock { $0 += 1 }
            throw error
        }
        return try await next(event)
    }
}
