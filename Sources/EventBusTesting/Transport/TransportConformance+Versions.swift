import EventBus

extension TransportConformance {
    var versionChecks: [ConformanceCheck] {
        [
            check("the events of earlier releases are handled as the current type, in retries too") { scene in
                let bus = try await scene.makeBus()
                let handled = Locked<[Billed]>([])
                let failed = Locked<Set<Int>>([])
                bus.subscribe(
                    group: scene.group(),
                    name: "bills",
                    options: .init(retry: .fixed(.milliseconds(1), maximumAttempts: 3))
                ) { handlers in
                    handlers.on(Billed.self) { bill in
                        if failed.withLock({ $0.insert(bill.cents).inserted }) { throw ExpectedError() }
                        handled.withLock { $0.append(bill) }
                    }
                    handlers.on(BilledV1.self, upTo: 1) { Billed(cents: $0.amount * 100, currency: "EUR") }
                }
                try await scene.running(bus) {
                    for amount in 1...5 { try await bus.publish(BilledV1(amount: amount)) }
                    for cents in 1...5 { try await bus.publish(Billed(cents: cents, currency: "CHF")) }
                    try await eventually("all are handled") { handled.withLock { $0.count } >= 10 }
                    let expected = (1...5).flatMap {
                        [Billed(cents: $0, currency: "CHF"), Billed(cents: $0 * 100, currency: "EUR")]
                    }
                    let all = handled.withLock { $0 }
                    try expect(all.count == 10 && Set(all) == Set(expected), "handled \(all)")
                }
            }
        ]
    }
}

private struct BilledV1: Event {
    static let topic = Billed.topic
    var amount: Int
}

private struct Billed: Event, Hashable {
    static let topic: Topic = "conformance.billed"
    static let version = 2
    var cents: Int
    var currency: String
}
