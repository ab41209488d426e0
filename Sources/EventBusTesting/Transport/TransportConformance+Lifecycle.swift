import EventBus

extension TransportConformance {
    var lifecycleChecks: [ConformanceCheck] {
        [
            check("a shutdown waits for the handler, whose event is then settled") { scene in
                let bus = try await scene.makeBus()
                let successor = try await scene.makeBus()
                let (seen, again) = (DeliveryRecord(), DeliveryRecord())
                let mayEnd = Signal()
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group()) { event, _ in
                    seen.note(event.envelope)
                    try await mayEnd.wait()
                }
                successor.subscribe(to: try scene.pattern("probe"), group: scene.group()) { event, _ in
                    again.note(event.envelope)
                }
                try await scene.running(bus) {
                    try await bus.publish(try scene.event(number: 1))
                    try await seen.wait(for: 1)
                    bus.shutdown()
                    try await expectError(.shuttingDown, from: "publishing during the shutdown") {
                        try await bus.publish(try scene.event(number: 2))
                    }
                    mayEnd.raise()
                }
                try await scene.running(successor) {
                    try await successor.publish(try scene.event(number: 3))
                    try await again.wait(for: 1)
                    try expect(again.numbers == [3], "after the shutdown came \(again.numbers)")
                }
            },
            check("cancelling ends the handler and returns its event, as the same attempt") { scene in
                let bus = try await scene.makeBus()
                let successor = try await scene.makeBus()
                let (seen, again) = (DeliveryRecord(), DeliveryRecord())
                let wasCancelled = Signal()
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group()) { event, _ in
                    seen.note(event.envelope)
                    do {
                        try await Signal().wait()
                    } catch {
                        wasCancelled.raise()
                        throw error
                    }
                }
                successor.subscribe(to: try scene.pattern("probe"), group: scene.group()) { event, context in
                    again.note(event.envelope, attempt: context.attempt)
                }
                let running = Task { try await bus.run() }
                try await bus.publish(try scene.event(number: 0), options: .init(deadline: .seconds(10)))
                try await eventually("attached and handled") {
                    if seen.count > 0 { return true }
                    return try await bus.publish(try scene.event(number: 1)).outcome == .routed && seen.count > 0
                }
                running.cancel()
                try await running.value
                try expect(wasCancelled.isRaised, "the handler was not cancelled before run() returned")
                try await scene.running(successor) {
                    try await again.wait(for: 1)
                    try expect(again.all[0].attempt == 1, "it came back as attempt \(again.all[0].attempt)")
                }
            },
            check("a publisher that closes in flight gives every publish an outcome and keeps confirmed events") {
                scene in
                let publisher = try await scene.makeBus()
                let consumer = try await scene.makeBus()
                let seen = DeliveryRecord()
                consumer.subscribe(to: try scene.pattern("probe"), group: scene.group()) { event, _ in
                    seen.note(event.envelope)
                }
                let confirmed = NumberSet()
                try await scene.running(consumer) {
                    let running = Task { try await publisher.run() }
                    await withTaskGroup(of: Void.self) { tasks in
                        for number in 0..<200 {
                            tasks.addTask {
                                let receipt = try? await publisher.publish(try scene.event(number: number))
                                guard receipt?.outcome == .routed else { return }
                                if confirmed.insert(number) == 20 { publisher.shutdown() }
                            }
                        }
                    }
                    try await running.value
                    let expected = confirmed.all
                    try expect(expected.count >= 20, "only \(expected.count) were confirmed")
                    try await eventually("all confirmed events, of which \(expected.count)") {
                        expected.isSubset(of: seen.numbers)
                    }
                }
            },
            check("instances that close concurrently under load lose nothing") { scene in
                let seen = DeliveryRecord()
                let publisher = try await scene.makeBus()
                let leaving = [try await scene.makeBus(), try await scene.makeBus(), try await scene.makeBus()]
                let last = try await scene.makeBus()
                for bus in leaving + [last] {
                    bus.subscribe(to: try scene.pattern("probe"), group: scene.group(), options: .init(concurrency: 4))
                    {
                        event,
                        _ in seen.note(event.envelope)
                    }
                }
                try await scene.running(publisher) {
                    try await scene.running(leaving[0], leaving[1], leaving[2]) {
                        for number in 0..<200 {
                            try await publisher.publish(try scene.event(number: number))
                            if number == 100 { for bus in leaving { bus.shutdown() } }
                        }
                    }
                    try await scene.running(last) {
                        try await eventually("200 events, of which \(Set(seen.numbers).count) came") {
                            Set(seen.numbers) == Set(0..<200)
                        }
                    }
                }
            },
            check("a bus that was shut down refuses calls and does not hang") { scene in
                let bus = try await scene.makeBus()
                try await scene.running(bus) {}
                try await expectError(.shuttingDown, from: "publishing after the end") {
                    try await bus.publish(try scene.event())
                }
                try await expectError(.alreadyRunning, from: "running a second time") { try await bus.run() }
            },
        ]
    }
}

private final class NumberSet: Sendable {
    private let numbers = Locked<Set<Int>>([])

    var all: Set<Int> { numbers.withLock { $0 } }

    /// Adds a number and returns how many there are.
    func insert(_ number: Int) -> Int {
        numbers.withLock { numbers in
            numbers.insert(number)
            return numbers.count
        }
    }
}
