import EventBus

extension TransportConformance {
    var consumingChecks: [ConformanceCheck] {
        [
            check("a consumer never holds more than its prefetch") { scene in
                try await scene.withTransport { transport in
                    let sink = StoringSink()
                    let other = StoringSink()
                    func attach(_ topic: String, to sink: StoringSink, prefetch: Int) async throws
                        -> any TransportConsumer
                    {
                        try await transport.attach(
                            QueueSpecification(
                                group: scene.group(),
                                name: topic,
                                patterns: [try scene.pattern(topic)],
                                prefetch: prefetch
                            ),
                            to: sink
                        )
                    }
                    func publish(_ event: Envelope) async throws {
                        let deadline = transport.clock.now.advanced(by: .seconds(10))
                        let outcome = try await transport.publish(event, options: .init(deadline: deadline))
                        try expect(outcome == .routed, "the outcome is \(outcome)")
                    }
                    let consumer = try await attach("bounded", to: sink, prefetch: 2)
                    let second = try await attach("other", to: other, prefetch: 100)
                    for number in 0..<10 { try await publish(try scene.event("bounded", number: number)) }
                    try await eventually("two deliveries") { sink.all.count == 2 }
                    // Events that the broker sent by mistake have arrived by the time these have.
                    for number in 0..<10 { try await publish(try scene.event("other", number: number)) }
                    try await eventually("ten deliveries") { other.all.count == 10 }
                    try expect(
                        sink.all.count == 2,
                        "with a prefetch of 2 there are \(sink.all.count) unsettled deliveries"
                    )
                    for settled in 0..<10 {
                        try await eventually("delivery \(settled)") { sink.all.count > settled }
                        try await consumer.settle(sink.all[settled], as: .acknowledged)
                        let unsettled = sink.all.count - settled - 1
                        try expect(unsettled <= 2, "\(unsettled) deliveries were unsettled at once")
                    }
                    let texts = sink.all.map { String(decoding: $0.envelope.payload, as: UTF8.self) }
                    try expect(texts == (0..<10).map(String.init), "the order was \(texts)")
                    await consumer.close()
                    await second.close()
                }
            },
            check("the unsettled deliveries of a closed consumer are redelivered, as the same attempt") { scene in
                try await scene.withTransport { transport in
                    let queue = QueueSpecification(
                        group: scene.group(),
                        name: "held",
                        patterns: [try scene.pattern("probe")],
                        prefetch: 10
                    )
                    let (first, second) = (StoringSink(), StoringSink())
                    let lost = try await transport.attach(queue, to: first)
                    let deadline = transport.clock.now.advanced(by: .seconds(10))
                    for number in 0..<5 {
                        _ = try await transport.publish(
                            try scene.event(number: number),
                            options: .init(deadline: deadline)
                        )
                    }
                    try await eventually("five deliveries") { first.all.count == 5 }
                    try await lost.settle(first.all[0], as: .acknowledged)
                    await lost.close()
                    let consumer = try await transport.attach(queue, to: second)
                    try await eventually("four deliveries again") { second.all.count >= 4 }
                    let texts = second.all.map { String(decoding: $0.envelope.payload, as: UTF8.self) }
                    try expect(texts == ["1", "2", "3", "4"], "delivered again: \(texts)")
                    try expect(second.all.allSatisfy { $0.attempt == 1 }, "a redelivery counted as an attempt")
                    for delivery in second.all { try await consumer.settle(delivery, as: .acknowledged) }
                    await consumer.close()
                }
            },
            check("a deferred delivery is redelivered as the same attempt") { scene in
                try await scene.withTransport { transport in
                    let queue = QueueSpecification(
                        group: scene.group(),
                        name: "deferred",
                        patterns: [try scene.pattern("probe")],
                        prefetch: 1
                    )
                    let sink = StoringSink()
                    let consumer = try await transport.attach(queue, to: sink)
                    let deadline = transport.clock.now.advanced(by: .seconds(10))
                    _ = try await transport.publish(try scene.event(number: 7), options: .init(deadline: deadline))
                    try await eventually("a delivery") { sink.all.count == 1 }
                    try await consumer.settle(sink.all[0], as: .deferred(after: .milliseconds(100), nil))
                    try await eventually("the delivery again") { sink.all.count == 2 }
                    try expect(sink.all[1].attempt == 1, "deferring counted as attempt \(sink.all[1].attempt)")
                    try expect(sink.all[1].envelope == sink.all[0].envelope, "deferring changed the event")
                    try await consumer.settle(sink.all[1], as: .acknowledged)
                    await consumer.close()
                }
            },
            check("the delays of deferrals add up, and start again after a failed attempt") { scene in
                try await scene.withTransport { transport in
                    let queue = QueueSpecification(
                        group: scene.group(),
                        name: "deferrals",
                        patterns: [try scene.pattern("probe")],
                        prefetch: 1
                    )
                    let sink = StoringSink()
                    let consumer = try await transport.attach(queue, to: sink)
                    let deadline = transport.clock.now.advanced(by: .seconds(10))
                    _ = try await transport.publish(try scene.event(number: 7), options: .init(deadline: deadline))
                    let delay = Duration.milliseconds(100)
                    func failure(attempt: Int) -> Failure {
                        Failure(reason: .unavailable, errorType: "Outage", message: "away", attempt: attempt)
                    }
                    let dispositions: [Disposition] = [
                        .deferred(after: delay, failure(attempt: 0)), .deferred(after: delay, failure(attempt: 0)),
                        .retried(after: delay, failure(attempt: 1)), .deferred(after: delay, failure(attempt: 1)),
                        .acknowledged,
                    ]
                    for (index, disposition) in dispositions.enumerated() {
                        try await eventually("delivery \(index + 1)") { sink.all.count == index + 1 }
                        try await consumer.settle(sink.all[index], as: disposition)
                    }
                    try expect(sink.all.map(\.attempt) == [1, 1, 1, 2, 2], "attempts \(sink.all.map(\.attempt))")
                    let deferred = sink.all.map(\.deferredFor)
                    try expect(deferred == [.zero, delay, delay * 2, .zero, delay], "deferred for \(deferred)")
                    await consumer.close()
                }
            },
            check("events of one topic are handled in the order of publishing") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group(), options: .init(concurrency: 1)) {
                    event,
                    _ in seen.note(event.envelope)
                }
                try await scene.running(bus) {
                    for number in 0..<200 { try await bus.publish(try scene.event(number: number)) }
                    try await seen.wait(for: 200)
                    try expect(seen.numbers == Array(0..<200), "the order was \(seen.numbers)")
                }
            },
            check("a group keeps its events while none of its members runs") { scene in
                let seen = DeliveryRecord()
                let first = try await scene.makeBus()
                let publisher = try await scene.makeBus()
                let second = try await scene.makeBus()
                for bus in [first, second] {
                    bus.subscribe(to: try scene.pattern("probe"), group: scene.group()) { event, _ in
                        seen.note(event.envelope)
                    }
                }
                try await scene.running(publisher) {
                    try await scene.running(first) {
                        try await publisher.publish(try scene.event(number: 1))
                        try await seen.wait(for: 1)
                    }
                    let receipt = try await publisher.publish(try scene.event(number: 2))
                    try expect(receipt.outcome == .routed, "without members the outcome is \(receipt.outcome)")
                    try await scene.running(second) { try await seen.wait(for: 2) }
                    try expect(seen.numbers == [1, 2], "handled: \(seen.numbers)")
                }
            },
            check("subscribing and cancelling work while the bus runs") { scene in
                let bus = try await scene.makeBus()
                let (early, late) = (DeliveryRecord(), DeliveryRecord())
                try await scene.running(bus) {
                    let first = bus.subscribe(to: try scene.pattern("probe"), group: scene.group("early")) { event, _ in
                        early.note(event.envelope)
                    }
                    try await first.attached()
                    try await bus.publish(try scene.event(number: 1))
                    try await early.wait(for: 1)
                    let second = bus.subscribe(to: try scene.pattern("probe"), group: scene.group("late")) { event, _ in
                        late.note(event.envelope)
                    }
                    try await second.attached()
                    await first.cancel()
                    try await bus.publish(try scene.event(number: 2))
                    try await late.wait(for: 1)
                    try expect(early.numbers == [1], "a cancelled subscription saw \(early.numbers)")
                    try expect(late.numbers == [2], "a late subscription saw \(late.numbers)")
                }
            },
        ]
    }
}
