import EventBus

/// The way in which the active one of several instances ends its work on a queue.
private enum Stop: String, CaseIterable {
    case shutdown = "a shutdown"
    case cancelledSubscription = "a cancelled subscription"
    case cancelledRun = "a cancelled run"
}

/// The actions of all instances' handlers, by key.
private final class KeyLog: Sendable {
    private struct State {
        var begun: [String: [Int]] = [:]
        var running: Set<String> = []
        var overlaps = 0
        var handled: Set<Int> = []
    }

    private let state = Locked(State())

    var handledCount: Int { state.withLock { $0.handled.count } }

    /// Runs `body` as the handler of `event`.
    func handle(_ event: Envelope, _ body: () async throws -> Void) async throws {
        let number = Int(String(decoding: event.payload, as: UTF8.self)) ?? -1
        let key = event.partitionKey ?? ""
        state.withLock { state in
            state.begun[key, default: []].append(number)
            if !state.running.insert(key).inserted { state.overlaps += 1 }
        }
        defer { _ = state.withLock { $0.running.remove(key) } }
        try await body()
        _ = state.withLock { $0.handled.insert(number) }
    }

    func begun(_ key: String) -> [Int] { state.withLock { $0.begun[key] ?? [] } }

    /// Throws if events of one key were handled concurrently or out of order.
    func check() throws {
        let (begun, overlaps) = state.withLock { ($0.begun, $0.overlaps) }
        try expect(overlaps == 0, "\(overlaps) times two events of one key were handled at once")
        for (key, numbers) in begun {
            try expect(numbers == numbers.sorted(), "the order of \(key) was \(numbers)")
        }
    }
}

extension TransportConformance {
    var keyOrderStopChecks: [ConformanceCheck] {
        Stop.allCases.map(stopCheck) + [outlastingHandlerCheck, reopeningCheck, holdLimitCheck]
    }

    private var reopeningCheck: ConformanceCheck {
        check("a reopened consumer returns its unsettled deliveries, in order and as the same attempt") { scene in
            let (topic, group, name) = (try scene.pattern("probe"), scene.group(), "ordered")
            try await scene.withTransport { transport in
                let sink = StoringSink()
                let consumer = try await transport.attach(
                    QueueSpecification(
                        group: group,
                        name: name,
                        patterns: [topic],
                        prefetch: 4,
                        singleActiveConsumer: true
                    ),
                    to: sink
                )
                let options = TransportPublishOptions(deadline: transport.clock.now.advanced(by: .seconds(30)))
                for number in 0..<6 {
                    _ = try await transport.publish(try scene.event(number: number, key: "key"), options: options)
                }
                try await eventually("4 deliveries") { sink.all.count == 4 }
                let former = sink.all
                try await consumer.settle(former[0], as: .acknowledged)
                await consumer.reopen()
                func again() -> [Delivery] { sink.all.filter { $0.token.generation > former[0].token.generation } }
                try await eventually("4 deliveries, but \(again().count)") { again().count >= 4 }
                let numbers = again().prefix(4).compactMap { Int(String(decoding: $0.envelope.payload, as: UTF8.self)) }
                try expect(numbers == [1, 2, 3, 4], "delivered again: \(numbers)")
                try expect(again().allSatisfy { $0.attempt == 1 }, "an attempt was counted")
                try await expectError(.staleDelivery, from: "settling a delivery of the former channel") {
                    try await consumer.settle(former[1], as: .acknowledged)
                }
                await consumer.close()
            }
        }
    }

    private var holdLimitCheck: ConformanceCheck {
        check("events that fail for longer than they may be held are dead-lettered in order, each after an attempt") {
            scene in
            let bus = try await scene.makeBus()
            let log = KeyLog()
            let attempts = Locked<[Int: Int]>([:])
            bus.subscribe(
                to: try scene.pattern("probe"),
                group: scene.group(),
                options: .init(
                    concurrency: 2,
                    retry: .fixed(.milliseconds(100), maximumAttempts: 1000),
                    ordering: .byPartitionKey,
                    maximumHold: .milliseconds(300)
                )
            ) { event, context in
                try await log.handle(event.envelope) {
                    let number = Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? -1
                    attempts.withLock { $0[number, default: 0] += 1 }
                    throw ExpectedError()
                }
            }
            try await scene.running(bus) {
                for number in 0..<5 { try await bus.publish(try scene.event(number: number, key: "key")) }
                let letters = bus.deadLetters(of: scene.group())
                try await eventually("5 dead letters") { try await letters.count() == 5 }
                let reasons = try await letters.entries(limit: 10).map(\.failure.reason)
                try expect(reasons.allSatisfy { $0 == .holdLimit }, "the reasons are \(reasons)")
                try expect(attempts.withLock { $0.count } == 5, "some were never tried")
                try log.check()
            }
        }
    }

    private func stopCheck(_ stop: Stop) -> ConformanceCheck {
        check("\(stop.rawValue) hands over a backlog by key in order, after its handlers have ended") { scene in
            let buses = [try await scene.makeBus(), try await scene.makeBus()]
            let publisher = try await scene.makeBus()
            let log = KeyLog()
            let began = Locked([0, 0])
            // The active instance does not finish its backlog before it is stopped.
            let isStopping = Signal()
            var subscriptions: [Subscription] = []
            for (index, bus) in buses.enumerated() {
                subscriptions.append(
                    bus.subscribe(
                        to: try scene.pattern("probe"),
                        group: scene.group(),
                        // The backlog exceeds the prefetch of the active instance.
                        options: .init(concurrency: 4, prefetch: 16, ordering: .byPartitionKey)
                    ) { event, _ in
                        let count = began.withLock { began in
                            began[index] += 1
                            return began[index]
                        }
                        try await log.handle(event.envelope) {
                            if index == 0, count >= 24 { try await isStopping.wait() }
                            try await Task.sleep(for: .milliseconds(10))
                        }
                    }
                )
            }
            let working = subscriptions[0]
            try await scene.running(publisher) {
                let first = Task { try await buses[0].run() }
                try await eventually("the first instance is ready") { buses[0].health().isReady }
                let second = Task { try await buses[1].run() }
                try await eventually("the second instance is ready") { buses[1].health().isReady }
                for number in 0..<160 {
                    try await publisher.publish(try scene.event(number: number, key: "key\(number % 8)"))
                }
                try await eventually("the first instance works") { began.withLock { $0[0] } >= 24 }
                let stopping = Task {
                    switch stop {
                    case .shutdown: buses[0].shutdown()
                    case .cancelledSubscription: await working.cancel()
                    case .cancelledRun: first.cancel()
                    }
                }
                try await eventually("the first instance stops") { !buses[0].health().isReady }
                isStopping.raise()
                await stopping.value
                try await eventually("160 handled, but \(log.handledCount)") { log.handledCount == 160 }
                try expect(began.withLock { $0[1] } > 0, "the second instance did not take over")
                for bus in buses { bus.shutdown() }
                _ = await first.result
                try await second.value
                try log.check()
            }
        }
    }

    private var outlastingHandlerCheck: ConformanceCheck {
        check("after a handler that outlasts the shutdown, the next instance begins with its event") { scene in
            let slow = try await scene.makeBus {
                $0.shutdownTimeout = .milliseconds(100)
                $0.cancellationGrace = .milliseconds(100)
            }
            let next = try await scene.makeBus()
            let publisher = try await scene.makeBus()
            let (begun, release) = (Signal(), Signal())
            let log = KeyLog()
            let options = SubscriptionOptions(concurrency: 2, prefetch: 4, ordering: .byPartitionKey)
            slow.subscribe(to: try scene.pattern("probe"), group: scene.group(), options: options) { _, _ in
                begun.raise()
                // Waits in a separate task, which nothing cancels.
                try await Task { try await release.wait() }.value
            }
            next.subscribe(to: try scene.pattern("probe"), group: scene.group(), options: options) { event, _ in
                try await log.handle(event.envelope) {}
            }
            try await scene.running(publisher) {
                let first = Task { try await slow.run() }
                try await eventually("the slow instance is ready") { slow.health().isReady }
                let second = Task { try await next.run() }
                try await eventually("the next instance is ready") { next.health().isReady }
                for number in 0..<10 { try await publisher.publish(try scene.event(number: number, key: "key")) }
                try await begun.wait()
                slow.shutdown()
                try await expectError(.shutdownTimedOut, from: "run()") { try await first.value }
                try await eventually("10 handled, but \(log.handledCount)") { log.handledCount == 10 }
                release.raise()
                next.shutdown()
                try await second.value
                let numbers = log.begun("key")
                try expect(numbers == Array(0..<10), "the next instance began \(numbers)")
            }
        }
    }

    var revocationChecks: [ConformanceCheck] {
        [
            check("a handler with a lost connection is cancelled with the reason, and its attempt does not count") {
                scene in
                let bus = try await scene.makeBus()
                let (begun, cancelled) = (Signal(), Signal())
                let revoked = Locked<[Bool]>([])
                let seen = DeliveryRecord()
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    // A single worker, so that another one takes its place.
                    options: .init(concurrency: 1, retry: .never, ordering: .byPartitionKey)
                ) { event, context in
                    revoked.withLock { $0.append(context.isRevoked) }
                    if !begun.isRaised {
                        begun.raise()
                        do {
                            try await Signal().wait()
                        } catch {
                            revoked.withLock { $0.append(context.isRevoked) }
                            cancelled.raise()
                            throw error
                        }
                    }
                    seen.note(event.envelope, attempt: context.attempt)
                }
                try await scene.running(bus) {
                    for number in 0..<2 { try await bus.publish(try scene.event(number: number, key: "key")) }
                    try await begun.wait()
                    try await scene.loseConnections()
                    try await eventually("the handler is cancelled") { cancelled.isRaised }
                    try await seen.wait(for: 2)
                    try expect(seen.numbers == [0, 1], "handled \(seen.numbers)")
                    try expect(seen.all.allSatisfy { $0.attempt == 1 }, "attempts \(seen.all.map(\.attempt))")
                    let revoked = revoked.withLock { $0 }
                    try expect(revoked == [false, true, false, false], "isRevoked was \(revoked)")
                }
            }
        ]
    }
}
