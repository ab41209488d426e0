import EventBus

extension TransportConformance {
    var requestChecks: [ConformanceCheck] {
        [
            check("a request is answered by one responder") { scene in
                let (asking, answering) = (try await scene.makeBus(), try await scene.makeBus())
                let asked = DeliveryRecord()
                for number in 0..<2 {
                    (number == 0 ? asking : answering).respond(to: DoubleProbe.self, group: scene.group()) {
                        request,
                        context in
                        asked.note(context.envelope)
                        return request.number * 2
                    }
                }
                try await scene.running(asking, answering) {
                    try await withThrowingTaskGroup(of: Void.self) { tasks in
                        for number in 0..<20 {
                            tasks.addTask {
                                let answer = try await asking.request(
                                    DoubleProbe(number: number),
                                    timeout: .seconds(10)
                                )
                                try expect(answer == number * 2, "the answer to \(number) was \(answer)")
                            }
                        }
                        try await tasks.waitForAll()
                    }
                    try expect(asked.count == 20, "20 requests were handled \(asked.count) times")
                }
            },
            check("a request that is not answered in time fails at its deadline") { scene in
                let bus = try await scene.makeBus()
                bus.respond(to: DoubleProbe.self, group: scene.group()) { request, _ in
                    try await Signal().wait()
                    return request.number
                }
                let running = Task { try await bus.run() }
                try await eventually("attached") { bus.health().isReady }
                let start = ContinuousClock.now
                try await expectError(.timedOut, from: "an unanswered request") {
                    _ = try await bus.request(DoubleProbe(number: 1), timeout: .milliseconds(100))
                }
                let took = start.duration(to: .now)
                try expect(took < .milliseconds(1100), "a deadline of 100 ms took \(took)")
                running.cancel()
                try await running.value
            },
            check("an error of the responder reaches the requester, its words only where they are to") { scene in
                for repliesWithText in [false, true] {
                    let bus = try await scene.makeBus()
                    bus.respond(
                        to: DoubleProbe.self,
                        group: scene.group("words-\(repliesWithText)"),
                        options: .init(repliesWithErrorText: repliesWithText)
                    ) { _, _ in throw ExpectedError() }
                    try await scene.running(bus) {
                        do {
                            _ = try await bus.request(DoubleProbe(number: 1), timeout: .seconds(10))
                            throw ConformanceFailure("a failing responder gave an answer")
                        } catch let error as EventBusError {
                            try expect(error.code == .remoteFailure, "a failing responder: \(error)")
                            let hasWords = error.message.contains("\(ExpectedError())")
                            try expect(hasWords == repliesWithText, "the requester read: \(error.message)")
                        }
                    }
                }
            },
            check("a request without a responder fails immediately") { scene in
                let bus = try await scene.makeBus()
                try await scene.running(bus) {
                    try await expectError(.unroutable, from: "a request without responders") {
                        _ = try await bus.request(DoubleProbe(number: 1), timeout: .seconds(10))
                    }
                }
            },
        ]
    }

    var broadcastChecks: [ConformanceCheck] {
        [
            check("a broadcast reaches every instance, and leaves no queue behind") { scene in
                let buses = [try await scene.makeBus(), try await scene.makeBus()]
                let seen = [DeliveryRecord(), DeliveryRecord()]
                for (bus, entries) in zip(buses, seen) {
                    bus.subscribe(
                        to: try scene.pattern("probe"),
                        group: scene.group(),
                        options: .init(retry: .fixed(.milliseconds(10), maximumAttempts: 3), broadcast: true)
                    ) { event, context in
                        if event.envelope.payload == Array("3".utf8) && context.attempt < 3 { throw ExpectedError() }
                        entries.note(event.envelope, attempt: context.attempt)
                    }
                }
                let publisher = try await scene.makeBus()
                try await scene.running(publisher) {
                    try await scene.running(buses[0], buses[1]) {
                        for number in 0..<10 { try await publisher.publish(try scene.event(number: number)) }
                        for entries in seen {
                            try await entries.wait(for: 10)
                            try expect(Set(entries.numbers) == Set(0..<10), "an instance saw \(entries.numbers)")
                            let retried = entries.all.first { $0.text == "3" }?.attempt
                            try expect(
                                retried == 3,
                                "the failed event was handled at attempt \(String(describing: retried))"
                            )
                        }
                    }
                    try await eventually("no queue is left") {
                        try await publisher.publish(try scene.event()).outcome == .unroutable
                    }
                }
            }
        ]
    }

    var schedulingChecks: [ConformanceCheck] {
        [
            check("a delayed event arrives after its delay, at every subscription") { scene in
                let bus = try await scene.makeBus()
                let (first, second) = (DeliveryRecord(), DeliveryRecord())
                for (name, entries) in [("first", first), ("second", second)] {
                    bus.subscribe(to: try scene.pattern("probe"), group: scene.group(name)) { event, context in
                        entries.note(event.envelope, attempt: context.attempt, at: bus.clock.now)
                    }
                }
                try await scene.running(bus) {
                    let start = bus.clock.now
                    let sent = try scene.event(number: 1)
                    let receipt = try await bus.publish(sent, options: .init(delay: .milliseconds(100)))
                    try expect(receipt.outcome == .scheduled, "the outcome is \(receipt.outcome), not scheduled")
                    for entries in [first, second] {
                        try await entries.wait(for: 1)
                        let waited = start.duration(to: entries.all[0].time)
                        try expect(waited >= .milliseconds(100), "a delay of 100 ms took \(waited)")
                        try expect(entries.all[0].envelope == sent, "the delay changed the event")
                        try expect(entries.all[0].attempt == 1, "it came as attempt \(entries.all[0].attempt)")
                    }
                }
            }
        ]
    }
}

private struct DoubleProbe: RequestEvent {
    typealias Reply = Int
    static let topic: Topic = "conformance.double"
    var number: Int
}
