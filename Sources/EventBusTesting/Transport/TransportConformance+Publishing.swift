import EventBus

extension TransportConformance {
    var publishingChecks: [ConformanceCheck] {
        [
            check("an event arrives with every field unchanged") { scene in
                let seen = DeliveryRecord()
                let bus = try await scene.makeBus()
                bus.subscribe(to: try scene.pattern("#"), group: scene.group(), name: "all") { event, _ in
                    seen.note(event.envelope)
                }
                let sent = Envelope(
                    topic: try scene.topic("order.created"),
                    payload: Array(#"{"orderID":"42"}"#.utf8),
                    contentType: "application/json",
                    contentEncoding: "br",
                    version: 3,
                    time: EventTime(milliseconds: 1_700_000_000_123),
                    source: "orders",
                    correlationID: "checkout-7",
                    causationID: "cause-6",
                    partitionKey: "customer 9",
                    headers: [
                        "tenant": "acme", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                    ]
                )
                try await scene.running(bus) {
                    let receipt = try await bus.publish(sent)
                    try expect(receipt.outcome == .routed, "the outcome is \(receipt.outcome), not routed")
                    try expect(receipt.id == sent.id, "the receipt names \(receipt.id), not \(sent.id)")
                    try await seen.wait(for: 1)
                    try expect(seen.all[0].envelope == sent, "sent \(sent), received \(seen.all[0].envelope)")
                }
            },
            check("headers of every valid kind arrive unchanged") { scene in
                let seen = DeliveryRecord()
                let bus = try await scene.makeBus()
                bus.subscribe(to: try scene.pattern("#"), group: scene.group(), name: "all") { event, _ in
                    seen.note(event.envelope)
                }
                var sent = try scene.event()
                sent.headers = [
                    "text": "grün 🌿", "empty": "", "long": .string(String(repeating: "x", count: 4000)),
                    "int": .int(.max), "negative": .int(.min), "small": 1, "double": 0.1, "yes": true, "no": false,
                    "bytes": .bytes([0, 255, 10]), "time": .timestamp(seconds: 1_700_000_000), "nothing": nil,
                    "list": ["a", 1, [true, nil], .table(["deep": "er"])],
                    "table": ["inner": ["a": 1], "list": [1.5]],
                ]
                let envelope = sent
                try await scene.running(bus) {
                    try await bus.publish(envelope)
                    try await seen.wait(for: 1)
                    for (name, value) in envelope.headers.values {
                        let received = seen.all[0].envelope.headers[name]
                        try expect(
                            received == value,
                            "header \(name): sent \(value), received \(String(describing: received))"
                        )
                    }
                }
            },
            check("empty and large payloads arrive byte for byte") { [largestPayload] scene in
                let seen = DeliveryRecord()
                let bus = try await scene.makeBus()
                bus.subscribe(
                    to: try scene.pattern("#"),
                    group: scene.group(),
                    name: "all",
                    options: .init(concurrency: 1)
                ) { event, _ in seen.note(event.envelope) }
                let sizes = [0, 1, 4087, 4088, 4089, 131_063, 131_064, 131_065, largestPayload]
                try await scene.running(bus) {
                    for (index, size) in sizes.filter({ $0 <= largestPayload }).enumerated() {
                        let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                        try await bus.publish(try scene.event(payload: payload))
                        try await seen.wait(for: index + 1)
                        try expect(
                            seen.all[index].envelope.payload == payload,
                            "a payload of \(size) bytes was changed"
                        )
                    }
                }
            },
            check("an event without a subscriber is reported as unroutable") { scene in
                let bus = try await scene.makeBus()
                try await scene.running(bus) {
                    let receipt = try await bus.publish(try scene.event())
                    try expect(receipt.outcome == .unroutable, "the outcome is \(receipt.outcome), not unroutable")
                    try await expectError(.unroutable, from: "publishing with a required subscriber") {
                        try await bus.publish(try scene.event(), options: .init(requiresSubscriber: true))
                    }
                }
            },
            check("a batch is published in order, with one receipt each") { scene in
                let seen = DeliveryRecord()
                let bus = try await scene.makeBus()
                let other = try await scene.makeBus()
                bus.subscribe(
                    to: "conformance.batch",
                    group: scene.group(),
                    name: "batch",
                    options: .init(concurrency: 1)
                ) { event, _ in seen.note(event.envelope) }
                try await scene.running(bus, other) {
                    let events = (0..<500).map { BatchProbe(number: $0) }
                    let results = try await other.publish(contentsOf: events)
                    try expect(results.count == 500, "500 events gave \(results.count) results")
                    for result in results {
                        try expect(try result.get().outcome == .routed, "an event of the batch was not routed")
                    }
                    try await seen.wait(for: 500)
                    let codec = JSONEventCodec()
                    let order = try seen.all.map { try codec.decode(BatchProbe.self, from: $0.envelope.payload).number }
                    try expect(order == Array(0..<500), "the batch arrived out of order: \(order.prefix(20))…")
                }
            },
            check("50 concurrent publishers and 50 subscribers lose nothing") { scene in
                let groups = 5
                let seen = (0..<groups).map { _ in DeliveryRecord() }
                let publisher = try await scene.makeBus()
                let members = [try await scene.makeBus(), try await scene.makeBus()]
                for number in 0..<50 {
                    let entries = seen[number % groups]
                    // Each group has ten subscribers: five queues, with one member on each connection.
                    let name = "sub\(number / groups / 2)"
                    members[number / groups % 2].subscribe(
                        to: try scene.pattern("part\(number / groups / 2)"),
                        group: scene.group("g\(number % groups)"),
                        name: name
                    ) { event, _ in entries.note(event.envelope) }
                }
                try await scene.running(publisher, members[0], members[1]) {
                    try await withThrowingTaskGroup(of: Void.self) { tasks in
                        for number in 0..<50 {
                            tasks.addTask {
                                for repetition in 0..<10 {
                                    let event = try scene.event(
                                        "part\(repetition % 5)",
                                        number: number * 10 + repetition
                                    )
                                    try await publisher.publish(event, options: .init(requiresSubscriber: true))
                                }
                            }
                        }
                        try await tasks.waitForAll()
                    }
                    for entries in seen {
                        try await entries.wait(for: 500)
                        let distinct = Set(entries.numbers)
                        try expect(distinct == Set(0..<500), "a group saw \(distinct.count) of 500 events")
                    }
                }
            },
        ]
    }
}

private struct BatchProbe: Event {
    static let topic: Topic = "conformance.batch"
    var number: Int
}
