import EventBus

extension TransportConformance {
    /// The checks of rounds through the dead letters with a limit.
    var deadLetterLimitChecks: [ConformanceCheck] {
        [
            check("a round with a limit takes the oldest dead letters, and reads none after them") { scene in
                let bus = try await scene.makeBus()
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(retry: .never)
                ) { _, _ in throw ExpectedError() }
                try await scene.running(bus) {
                    try await bus.publish(try scene.event(number: 0))
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("a dead letter") { try await letters.count() == 1 }
                    let first = try await letters.entries(limit: 1)[0]
                    let ids = (0..<6).map { EventID("letter-\($0)") }
                    try await letters.restore(
                        ids.map { id in
                            var letter = first
                            letter.envelope.id = id
                            return letter
                        }
                    )
                    try await eventually("seven dead letters") { try await letters.count() == 7 }
                    let read = Locked<[EventID]>([])
                    @Sendable func isIncluded(_ letter: DeadLetter) -> Bool {
                        read.withLock { $0.append(letter.envelope.id) }
                        return letter.envelope.id != first.envelope.id
                    }
                    let dry = try await letters.replay(options: .init(dryRun: true, limit: 2), where: isIncluded)
                    try expect(dry == 2, "a dry run with the limit 2 counted \(dry)")
                    let discarded = try await letters.discard(limit: 2, where: isIncluded)
                    try expect(discarded == 2, "\(discarded) were discarded with the limit 2")
                    let expected = [first.envelope.id] + ids[..<2]
                    try expect(read.withLock { $0 } == expected + expected, "it read \(read.withLock { $0 })")
                    try expect(try await letters.count() == 5, "not all others are there when the round has ended")
                    let replayed = try await letters.replay(options: .init(limit: 3)) { $0.envelope.id != ids[2] }
                    try expect(replayed == 3, "\(replayed) were replayed with the limit 3")
                    // They fail again.
                    try await eventually("five dead letters") { try await letters.count() == 5 }
                    let left = try await letters.entries(limit: 2).map(\.envelope.id)
                    try expect(left == [ids[2], ids[5]], "\(left) are the oldest")
                    let none = try await letters.discard(limit: 0) { _ in true }
                    try expect(none == 0, "\(none) were discarded with the limit 0")
                    try expect(try await letters.discard(limit: nil) { _ in true } == 5, "not all were discarded")
                }
            }
        ]
    }
}
