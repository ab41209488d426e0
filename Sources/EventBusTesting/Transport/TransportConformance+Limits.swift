import EventBus

extension TransportConformance {
    var limitChecks: [ConformanceCheck] {
        [
            check("an event that cannot be encoded is refused, alone and in a batch, and holds up no other event") {
                scene in
                let seen = DeliveryRecord()
                let bus = try await scene.makeBus()
                bus.subscribe(to: try scene.pattern("#"), group: scene.group(), name: "all") { event, _ in
                    seen.note(event.envelope)
                }
                let long = String(repeating: "x", count: TransportLimits.maximumTextLength + 1)
                var deep: HeaderValue = 1
                for _ in 0...HeaderValue.maximumDepth { deep = .array([deep]) }
                let changes: [(String, @Sendable (inout Envelope) -> Void)] = [
                    ("an empty id", { $0.id = "" }),
                    ("a long id", { $0.id = EventID(long) }),
                    ("a long correlation id", { $0.correlationID = CorrelationID(long) }),
                    ("a long partition key", { $0.partitionKey = long }),
                    ("a long source", { $0.source = long }),
                    ("a long content type", { $0.contentType = long }),
                    ("a reserved header", { $0.headers["CC"] = "queue" }),
                    ("a header that is no number", { $0.headers["n"] = .double(.nan) }),
                    ("an infinite header, deep inside", { $0.headers["n"] = ["a": [1, .double(.infinity)]] }),
                    ("headers that nest too deep", { [deep] in $0.headers["n"] = deep }),
                ]
                try await scene.running(bus) {
                    for (name, change) in changes {
                        var envelope = try scene.event(number: 0)
                        change(&envelope)
                        let illegal = envelope
                        try await expectError(.invalidEnvelope, from: "publishing an event with \(name)") {
                            _ = try await bus.publish(illegal)
                        }
                        let batch = [illegal, try scene.event(number: 1)]
                        let results = try await bus.publish(contentsOf: batch)
                        try expect((try? results[0].get()) == nil, "a batch took an event with \(name)")
                        try expect(try results[1].get().outcome == .routed, "\(name) kept back the event after it")
                    }
                    try await seen.wait(for: changes.count)
                    try expect(Set(seen.numbers) == [1], "an event that was refused was delivered")
                }
            },
            check("headers and payloads beyond the limits are refused as too large") { scene in
                let bus = try await scene.makeBus()
                try await scene.running(bus) {
                    var envelope = try scene.event()
                    envelope.headers["large"] = .bytes(Array(repeating: 1, count: TransportLimits.maximumHeaderSize))
                    let withHeaders = envelope
                    try await expectError(.tooLarge, from: "publishing large headers") {
                        _ = try await bus.publish(withHeaders)
                    }
                    let payload = [UInt8](repeating: 1, count: TransportLimits.maximumBodySize + 1)
                    let withPayload = try scene.event(payload: payload)
                    try await expectError(.tooLarge, from: "publishing a large payload") {
                        _ = try await bus.publish(withPayload)
                    }
                }
            },
            check("headers whose names differ only in Unicode normalization are two headers") { scene in
                let seen = DeliveryRecord()
                let bus = try await scene.makeBus()
                bus.subscribe(to: try scene.pattern("#"), group: scene.group(), name: "all") { event, _ in
                    seen.note(event.envelope)
                }
                var sent = try scene.event()
                sent.headers = ["caf\u{E9}": 1, "cafe\u{301}": 2, "table": ["caf\u{E9}": 3, "cafe\u{301}": 4]]
                let envelope = sent
                try await scene.running(bus) {
                    try await bus.publish(envelope)
                    try await seen.wait(for: 1)
                    let received = seen.all[0].envelope.headers
                    try expect(received == envelope.headers, "sent \(envelope.headers), received \(received)")
                }
            },
            check("events whose partition keys differ only in Unicode normalization do not wait for each other") {
                scene in
                let seen = DeliveryRecord()
                let release = Gate()
                let bus = try await scene.makeBus()
                let options = SubscriptionOptions(concurrency: 2, ordering: .byPartitionKey)
                bus.subscribe(to: try scene.pattern("#"), group: scene.group(), name: "all", options: options) {
                    event,
                    _ in
                    if event.envelope.partitionKey?.unicodeScalars.count == 4 { await release.pass() }
                    seen.note(event.envelope)
                }
                try await scene.running(bus) {
                    for (number, key) in ["caf\u{E9}", "cafe\u{301}"].enumerated() {
                        try await bus.publish(try scene.event(number: number, key: key))
                    }
                    try await seen.wait(for: 1)
                    try expect(seen.numbers == [1], "\(seen.numbers) were handled before the first key was done")
                    release.open()
                    try await seen.wait(for: 2)
                }
            },
            check("topics that differ only in Unicode normalization are two topics") { scene in
                let composed = DeliveryRecord()
                let decomposed = DeliveryRecord()
                let bus = try await scene.makeBus()
                let topics = [try scene.topic("caf\u{E9}"), try scene.topic("cafe\u{301}")]
                bus.subscribe(to: TopicPattern(topics[0]), group: scene.group(), name: "composed") { event, _ in
                    composed.note(event.envelope)
                }
                bus.subscribe(to: TopicPattern(topics[1]), group: scene.group(), name: "decomposed") { event, _ in
                    decomposed.note(event.envelope)
                }
                try await scene.running(bus) {
                    for (number, topic) in topics.enumerated() {
                        try await bus.publish(Envelope(topic: topic, payload: Array("\(number)".utf8)))
                    }
                    try await composed.wait(for: 1)
                    try await decomposed.wait(for: 1)
                    try expect(composed.numbers == [0], "the first topic got \(composed.numbers)")
                    try expect(decomposed.numbers == [1], "the second topic got \(decomposed.numbers)")
                }
            },
        ]
    }

    var delayLimitChecks: [ConformanceCheck] {
        [
            check("a delay beyond the transport's maximum is refused, and the maximum can be read") { scene in
                let bus = try await scene.makeBus()
                try expect(bus.maximumDelay > .zero, "the maximum is \(bus.maximumDelay)")
                try await scene.running(bus) {
                    try await expectError(.unsupported, from: "a delay above the maximum") {
                        _ = try await bus.publish(
                            try scene.event(),
                            options: .init(delay: bus.maximumDelay + .milliseconds(1))
                        )
                    }
                    let results = try await bus.publish(
                        contentsOf: [try scene.event()],
                        options: .init(delay: bus.maximumDelay + .milliseconds(1))
                    )
                    try expect((try? results[0].get()) == nil, "a batch took a delay above the maximum")
                }
            },
            check("a delayed event that was kept without a subscription is replayed to a later one") { scene in
                let seen = DeliveryRecord()
                let bus = try await scene.makeBus()
                try await scene.running(bus) {
                    let event = try scene.event("late")
                    try await bus.publish(event, options: .init(delay: .milliseconds(100)))
                    let unroutable = bus.unroutableDelays
                    try await eventually("the event should be among the unroutable ones") {
                        try await unroutable.entries(limit: 1000).contains { $0.envelope.id == event.id }
                    }
                    let subscription = bus.subscribe(
                        to: TopicPattern(event.topic),
                        group: scene.group(),
                        name: "late"
                    ) { event, context in seen.note(event.envelope, attempt: context.attempt) }
                    try await subscription.attached()
                    let replayed = try await unroutable.replay(event.id)
                    try expect(replayed == 1, "\(replayed) were replayed")
                    try await seen.wait(for: 1)
                    try expect(seen.all[0].envelope.id == event.id, "\(seen.all[0].envelope.id) arrived")
                    try expect(seen.all[0].attempt == 1, "it arrived as attempt \(seen.all[0].attempt)")
                }
            },
            check("a delayed event that is due without a subscription is kept and counted until it is discarded") {
                scene in
                let bus = try await scene.makeBus()
                try await scene.running(bus) {
                    let event = try scene.event("nobody")
                    let receipt = try await bus.publish(event, options: .init(delay: .milliseconds(100)))
                    try expect(receipt.outcome == .scheduled, "the outcome is \(receipt.outcome)")
                    let unroutable = bus.unroutableDelays
                    try await eventually("the event should be among the unroutable ones") {
                        try await unroutable.entries(limit: 1000).contains { $0.envelope.id == event.id }
                    }
                    try await eventually("health should count it") {
                        bus.health().components.contains { ($0.details["unroutable_delays"] ?? 0) > 0 }
                    }
                    let letter = try await unroutable.entries(limit: 1000).first { $0.envelope.id == event.id }
                    try expect(
                        letter?.failure.reason == .unroutableDelay,
                        "the reason is \(letter?.failure.reason as Any)"
                    )
                    try expect(letter?.envelope.topic == event.topic, "its topic is \(letter?.envelope.topic as Any)")
                    let discarded = try await unroutable.discard { $0.envelope.id == event.id }
                    try expect(discarded == 1, "\(discarded) were discarded")
                }
            },
        ]
    }
}
