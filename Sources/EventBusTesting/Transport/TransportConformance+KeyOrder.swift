import EventBus

extension TransportConformance {
    var keyOrderChecks: [ConformanceCheck] {
        [
            check("events of one key keep their order through failures, while keys run concurrently") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                let sideBySide = Signal()
                let running = Locked<Set<String>>([])
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(
                        concurrency: 8,
                        retry: .fixed(.milliseconds(20), maximumAttempts: 3),
                        ordering: .byPartitionKey
                    )
                ) { event, context in
                    let key = event.envelope.partitionKey ?? ""
                    let (isAlone, keys) = running.withLock { ($0.insert(key).inserted, $0.count) }
                    defer { running.withLock { _ = $0.remove(key) } }
                    try expect(isAlone, "two events of key \(key) were handled at once")
                    if keys > 1 { sideBySide.raise() }
                    let number = Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? 0
                    if number % 7 == 0 && context.attempt < 3 { throw ExpectedError() }
                    if number < 4 { try await sideBySide.wait() }
                    seen.note(event.envelope, attempt: context.attempt)
                }
                try await scene.running(bus) {
                    for number in 0..<100 {
                        try await bus.publish(try scene.event(number: number, key: "key\(number % 4)"))
                    }
                    try await seen.wait(for: 100)
                    try Self.expectOrder(seen, keys: 4)
                }
            },
            check("events of one key keep their order across instances and a change of the active one") { scene in
                let buses = [try await scene.makeBus(), try await scene.makeBus()]
                let publisher = try await scene.makeBus()
                let seen = DeliveryRecord()
                let by = Locked([0, 0])
                for (index, bus) in buses.enumerated() {
                    bus.subscribe(
                        to: try scene.pattern("probe"),
                        group: scene.group(),
                        options: .init(concurrency: 4, ordering: .byPartitionKey)
                    ) { event, _ in
                        by.withLock { $0[index] += 1 }
                        seen.note(event.envelope)
                    }
                }
                try await scene.running(publisher) {
                    // The first instance to attach is active. The other one stands by, and takes over when the first
                    // one leaves.
                    let first = Task { try await buses[0].run() }
                    try await eventually("the first instance is ready") { buses[0].health().isReady }
                    let second = Task { try await buses[1].run() }
                    try await eventually("the second instance is ready") { buses[1].health().isReady }
                    for number in 0..<100 {
                        try await publisher.publish(try scene.event(number: number, key: "key\(number % 4)"))
                    }
                    try await seen.wait(for: 20)
                    buses[0].shutdown()
                    try await first.value
                    try expect(by.withLock { $0[0] } >= 20, "the first instance was not the working one")
                    for number in 100..<200 {
                        try await publisher.publish(try scene.event(number: number, key: "key\(number % 4)"))
                    }
                    try await seen.wait(for: 200)
                    try expect(by.withLock { $0[1] } >= 100, "the second instance did not take over")
                    buses[1].shutdown()
                    try await second.value
                    try Self.expectOrder(seen, keys: 4)
                }
            },
        ]
    }

    private static func expectOrder(_ seen: DeliveryRecord, keys: Int) throws {
        for key in 0..<keys {
            let numbers = seen.all.filter { $0.envelope.partitionKey == "key\(key)" }.compactMap { Int($0.text) }
            try expect(numbers == numbers.sorted(), "the order of key\(key) was \(numbers)")
        }
    }
}
