import EventBus

extension TransportConformance {
    var batchChecks: [ConformanceCheck] {
        [
            check("a batch handler receives every event once, in batches up to the maximum count") { scene in
                let bus = try await scene.makeBus()
                let sizes = Locked<[Int]>([])
                let seen = DeliveryRecord()
                bus.subscribe(
                    toBatchesOf: BatchedProbe.self,
                    group: scene.group(),
                    maximumCount: 20,
                    within: .milliseconds(100),
                    concurrency: 2
                ) { batch in
                    sizes.withLock { $0.append(batch.count) }
                    for member in batch { seen.note(member.context.envelope, attempt: member.context.attempt) }
                }
                try await scene.running(bus) {
                    let events = (0..<210).map { BatchedProbe(number: $0) }
                    for result in try await bus.publish(contentsOf: events) { _ = try result.get() }
                    try await seen.wait(for: 210)
                    try expect(seen.count == 210, "\(seen.count) events were handled, not 210")
                    try expect(Set(seen.texts).count == 210, "an event was handled twice, and another not at all")
                    let sizes = sizes.withLock { $0 }
                    try expect(sizes.allSatisfy { 1...20 ~= $0 }, "the sizes are \(sizes)")
                    try expect(sizes.contains { $0 > 1 }, "no batch has more than one event")
                }
            }
        ]
    }

    var batchFailureChecks: [ConformanceCheck] {
        [
            check("the events of a batch are acknowledged, retried and dead-lettered one by one") { scene in
                let bus = try await scene.makeBus()
                let attempts = Locked<[Int: [Int]]>([:])
                bus.subscribe(
                    toBatchesOf: BatchedProbe.self,
                    group: scene.group(),
                    maximumCount: 10,
                    within: .milliseconds(100),
                    retry: .fixed(.milliseconds(10), maximumAttempts: 3)
                ) { batch in
                    for member in batch {
                        let (number, attempt) = (member.event.number, member.context.attempt)
                        attempts.withLock { $0[number, default: []].append(attempt) }
                        switch number {
                        case 0: member.fail(NonRetryableTestError())
                        case 1 where attempt < 3: member.fail(ExpectedError())
                        default: break
                        }
                    }
                    // All of them have failed.
                    if batch.contains(where: { $0.event.number == 2 }) { throw ExpectedError() }
                }
                try await scene.running(bus) {
                    let events = (0..<10).map { BatchedProbe(number: $0) }
                    for result in try await bus.publish(contentsOf: events) { _ = try result.get() }
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("two dead letters") { try await letters.count() == 2 }
                    try await eventually("event 1 handled") { attempts.withLock { $0[1] == [1, 2, 3] } }
                    let dead = try await letters.entries().map { try $0.decoded(as: BatchedProbe.self).number }
                    try expect(Set(dead) == [0, 2], "the dead letters are \(dead)")
                    let all = attempts.withLock { $0 }
                    try expect(all[0] == [1], "a hopeless event had the attempts \(all[0] ?? [])")
                    try expect(all[2] == [1, 2, 3], "the event that fails its batch had \(all[2] ?? [])")
                    for number in 3..<10 {
                        let own = all[number] ?? []
                        try expect(own == [1] || own == [1, 2], "event \(number) had the attempts \(own)")
                    }
                }
            }
        ]
    }
}

private struct BatchedProbe: Event {
    static let topic: Topic = "conformance.batched"
    var number: Int
}
