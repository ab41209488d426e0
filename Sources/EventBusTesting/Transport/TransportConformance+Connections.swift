import EventBus

extension TransportConformance {
    var connectionChecks: [ConformanceCheck] {
        [
            check("unsettled deliveries of a lost connection are redelivered, as the same attempt") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                let isLost = Signal()
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group(), options: .init(concurrency: 2)) {
                    event,
                    context in
                    seen.note(event.envelope, attempt: context.attempt)
                    // The first two deliveries are with the handler when the connection breaks. The others have not
                    // been handed over yet.
                    if !isLost.isRaised { try await isLost.wait() }
                }
                try await scene.running(bus) {
                    for number in 0..<6 { try await bus.publish(try scene.event(number: number)) }
                    try await seen.wait(for: 2)
                    try await scene.loseConnections()
                    isLost.raise()
                    try await eventually("everything comes, the two in hand again, but \(seen.numbers) came") {
                        Set(seen.numbers) == Set(0..<6)
                            && (0..<2).allSatisfy { number in
                                seen.numbers.count { $0 == number } == 2
                            }
                    }
                    try expect(seen.all.allSatisfy { $0.attempt == 1 }, "a lost connection counted as an attempt")
                }
            },
            check("publishing and handling continue after a lost connection, and a waiting retry is kept") {
                scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                let hasFailed = Signal()
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 2))
                ) { event, context in
                    seen.note(event.envelope, attempt: context.attempt)
                    guard String(decoding: event.envelope.payload, as: UTF8.self) == "0", context.attempt == 1 else {
                        return
                    }
                    hasFailed.raise()
                    throw ExpectedError()
                }
                try await scene.running(bus) {
                    try await bus.publish(try scene.event(number: 0))
                    try await hasFailed.wait()
                    try await scene.loseConnections()
                    try await bus.publish(try scene.event(number: 1))
                    try await eventually("the retry and the new event, but \(seen.numbers) came") {
                        seen.numbers.contains(1)
                            && seen.all.contains { $0.text == "0" && $0.attempt == 2 }
                    }
                }
            },
        ]
    }
}
