import EventBus

extension TransportConformance {
    var expiryChecks: [ConformanceCheck] {
        [
            check("an event that expires in a queue becomes a dead letter, and can be replayed") { scene in
                let (pattern, group) = (try scene.pattern("probe"), scene.group())
                let absent = try await scene.makeBus()
                absent.subscribe(to: pattern, group: group, name: "slow") { _, _ in }
                try await scene.running(absent) {}
                let seen = DeliveryRecord()
                let present = try await scene.makeBus()
                present.subscribe(to: pattern, group: group, name: "slow") { event, _ in seen.note(event.envelope) }
                let publisher = try await scene.makeBus()
                try await scene.running(publisher) {
                    let expiring = try scene.event(number: 1)
                    let first = try await publisher.publish(expiring, options: .init(expiration: .milliseconds(50)))
                    try expect(first.outcome == .routed, "the outcome is \(first.outcome)")
                    try await publisher.publish(try scene.event(number: 2))
                    let letters = publisher.deadLetters(of: group)
                    try await eventually("one dead letter") { try await letters.count() == 1 }
                    let letter = try await letters.entries(limit: 1)[0]
                    try expect(letter.failure.reason == .expired, "the reason is \(letter.failure.reason)")
                    try expect(letter.queue == "\(group).slow", "its queue is \(letter.queue)")
                    try expect(letter.envelope == expiring, "the event became \(letter.envelope)")
                    try await scene.running(present) {
                        try await seen.wait(for: 1)
                        let replayed = try await letters.replayAll()
                        try expect(replayed == 1, "\(replayed) were replayed")
                        try await seen.wait(for: 2)
                        let lasting = PublishOptions(expiration: .seconds(60), priority: 3)
                        try await publisher.publish(try scene.event(number: 3), options: lasting)
                        try await seen.wait(for: 3)
                        try expect(seen.numbers == [2, 1, 3], "handled \(seen.numbers)")
                    }
                }
            },
            check("a publish with a delay and an expiration is refused as unsupported") { scene in
                let bus = try await scene.makeBus()
                try await scene.running(bus) {
                    let event = try scene.event(number: 1)
                    let options = PublishOptions(delay: .milliseconds(50), expiration: .seconds(60))
                    try await expectError(.unsupported, from: "the publish") {
                        _ = try await bus.publish(event, options: options)
                    }
                    for result in try await bus.publish(contentsOf: [event, event], options: options) {
                        try await expectError(.unsupported, from: "a publish of several") { _ = try result.get() }
                    }
                }
            },
        ]
    }
}
