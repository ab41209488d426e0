import EventBus

extension TransportConformance {
    var pauseChecks: [ConformanceCheck] {
        [
            check("a paused subscription receives nothing, and every event after it is resumed") { scene in
                let bus = try await scene.makeBus()
                let (paused, other) = (DeliveryRecord(), DeliveryRecord())
                let subscription = bus.subscribe(to: try scene.pattern("probe"), group: scene.group()) {
                    event,
                    context in
                    paused.note(event.envelope, attempt: context.attempt)
                }
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group("other")) { event, _ in
                    other.note(event.envelope)
                }
                try await scene.running(bus) {
                    try await bus.publish(try scene.event(number: 0))
                    try await paused.wait(for: 1)
                    for round in 1...3 {
                        await subscription.pause()
                        try expect(subscription.health.status == .ready, "a paused subscription is not ready")
                        try expect(subscription.health.details["paused"] == 1, "its health does not tell of the pause")
                        for number in 0..<10 { try await bus.publish(try scene.event(number: 10 * round + number)) }
                        try await other.wait(for: 1 + 10 * round)
                        try expect(paused.count == 10 * round - 9, "a paused subscription handled \(paused.numbers)")
                        subscription.resume()
                        try await subscription.attached()
                        try await paused.wait(for: 1 + 10 * round)
                    }
                    try expect(Set(paused.numbers).count == 31, "handled: \(paused.numbers)")
                    try expect(paused.all.allSatisfy { $0.attempt == 1 }, "the pause counted attempts")
                }
            },
            check("a broadcast keeps the events of a pause, and those that wait for its new concurrency") { scene in
                try await keepsBroadcasts(scene)
            },
            check("another instance handles what a paused one leaves") { scene in
                try await leavesEvents(to: .none, scene)
            },
            check("a subscription handles as many events at once as its changed concurrency says") { scene in
                let bus = try await scene.makeBus()
                let running = Locked((now: 0, most: 0, handled: 0))
                let waits = Locked(false)
                let four = Gate()
                let subscription = bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(concurrency: 1)
                ) { _, _ in
                    let count = running.withLock { running in
                        running.now += 1
                        running.most = max(running.most, running.now)
                        return running.now
                    }
                    if count == 4 { four.open() }
                    if waits.withLock({ $0 }) { await four.pass() }
                    running.withLock { running in
                        running.now -= 1
                        running.handled += 1
                    }
                }
                try await scene.running(bus) {
                    for number in 0..<5 { try await bus.publish(try scene.event(number: number)) }
                    try await eventually("five are handled") { running.withLock { $0.handled == 5 } }
                    try expect(running.withLock { $0.most } == 1, "several ran at once")
                    try await subscription.changeConcurrency(to: 4)
                    try await subscription.attached()
                    waits.withLock { $0 = true }
                    for number in 0..<8 { try await bus.publish(try scene.event(number: number)) }
                    try await eventually("all are handled") { running.withLock { $0.handled == 13 } }
                    try expect(running.withLock { $0.most } == 4, "\(running.withLock { $0.most }) ran at once, not 4")
                    try await expectError(.invalidConfiguration, from: "a concurrency of 0") {
                        try await subscription.changeConcurrency(to: 0)
                    }
                }
            },
            check("a subscription whose circuit breaker opened goes on when its handler works again") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                let failures = Locked(8)
                let subscription = bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(
                        concurrency: 2,
                        retry: .fixed(.milliseconds(1), maximumAttempts: 50),
                        breaker: CircuitBreaker(minimumAttempts: 3, probeInterval: .milliseconds(50))
                    )
                ) { event, _ in
                    let fails = failures.withLock { failures in
                        failures -= 1
                        return failures >= 0
                    }
                    if fails { throw ExpectedError() }
                    seen.note(event.envelope)
                }
                try await scene.running(bus) {
                    for number in 0..<10 { try await bus.publish(try scene.event(number: number)) }
                    try await eventually("the pause") { subscription.health.details["paused"] == 1 }
                    try await seen.wait(for: 10)
                    try expect(Set(seen.numbers) == Set(0..<10), "handled: \(seen.numbers)")
                    try await eventually("the end of the pause") { subscription.health.status == .ready }
                }
            },
        ]
    }

    var keyOrderPauseChecks: [ConformanceCheck] {
        [
            check("another instance takes over the keys of a paused one, in order") { scene in
                try await leavesEvents(to: .byPartitionKey, scene)
            }
        ]
    }

    private func keepsBroadcasts(_ scene: ConformanceContext) async throws {
        let bus = try await scene.makeBus()
        let seen = DeliveryRecord()
        let began = DeliveryRecord()
        let gates = [0: Gate(), 20: Gate()]
        let subscription = bus.subscribe(
            to: try scene.pattern("probe"),
            group: scene.group(),
            options: .init(concurrency: 1, prefetch: 4, broadcast: true)
        ) { event, context in
            began.note(event.envelope)
            if let number = began.numbers.last, let gate = gates[number] { await gate.pass() }
            seen.note(event.envelope, attempt: context.attempt)
        }
        try await scene.running(bus) {
            try await subscription.attached()
            for number in 0..<10 { try await bus.publish(try scene.event(number: number)) }
            try await began.wait(for: 1)
            async let pause: Void = subscription.pause()
            try await eventually("the pause") { subscription.isPaused }
            gates[0]?.open()
            await pause
            try expect(subscription.health.status == .ready, "a paused broadcast is not ready")
            let handled = seen.numbers
            for number in 10..<20 { try await bus.publish(try scene.event(number: number)) }
            try expect(seen.numbers == handled, "a paused broadcast handled \(seen.numbers)")
            subscription.resume()
            try await subscription.attached()
            try await seen.wait(for: 20)
            try expect(seen.numbers == Array(0..<20), "after the pause, it handled \(seen.numbers)")
            for number in 20..<30 { try await bus.publish(try scene.event(number: number)) }
            try await began.wait(for: 21)
            async let change: Void = subscription.changeConcurrency(to: 4)
            gates[20]?.open()
            try await change
            try await subscription.attached()
            try await seen.wait(for: 30)
            try expect(seen.numbers.sorted() == Array(0..<30), "after the change, it handled \(seen.numbers)")
            try expect(seen.all.allSatisfy { $0.attempt == 1 }, "it counted attempts")
        }
    }

    private func leavesEvents(
        to ordering: SubscriptionOptions.Ordering,
        _ scene: ConformanceContext
    ) async throws {
        let (first, second) = (try await scene.makeBus(), try await scene.makeBus())
        let seen = (first: DeliveryRecord(), second: DeliveryRecord())
        let options = SubscriptionOptions(concurrency: 2, ordering: ordering)
        let subscription = first.subscribe(to: try scene.pattern("probe"), group: scene.group(), options: options) {
            event,
            _ in
            seen.first.note(event.envelope)
        }
        try await scene.running(first) {
            for number in 0..<10 { try await first.publish(try scene.event(number: number, key: "k")) }
            try await seen.first.wait(for: 10)
            second.subscribe(to: try scene.pattern("probe"), group: scene.group(), options: options) { event, _ in
                seen.second.note(event.envelope)
            }
            try await scene.running(second) {
                await subscription.pause()
                for number in 10..<30 { try await first.publish(try scene.event(number: number, key: "k")) }
                try await seen.second.wait(for: 20)
                let numbers = ordering == .byPartitionKey ? seen.second.numbers : seen.second.numbers.sorted()
                try expect(numbers == Array(10..<30), "the other instance handled \(numbers)")
                try expect(seen.first.count == 10, "the paused instance handled \(seen.first.numbers)")
            }
            subscription.resume()
            try await first.publish(try scene.event(number: 30, key: "k"))
            try await seen.first.wait(for: 11)
        }
    }
}
