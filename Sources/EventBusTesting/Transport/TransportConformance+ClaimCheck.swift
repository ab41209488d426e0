import EventBus

extension TransportConformance {
    var claimCheckChecks: [ConformanceCheck] {
        [
            check(
                "a large body travels through the store, through retries too, and a missing one is dead-lettered"
            ) {
                scene in
                let store = MemoryStore()
                let bus = try await scene.makeBus {
                    $0.claimCheck = ClaimCheck(store: store, threshold: 1000)
                }
                let seen = DeliveryRecord()
                bus.subscribe(
                    to: LargeProbe.self,
                    group: scene.group(),
                    options: .init(retry: .fixed(.milliseconds(10), maximumAttempts: 3))
                ) { event, context in
                    if context.attempt == 1 { throw ExpectedError() }
                    seen.note(context.envelope, attempt: context.attempt)
                }
                let large = LargeProbe(text: String(repeating: "x", count: 2000))
                try await scene.running(bus) {
                    try await bus.publish(LargeProbe(text: "small"))
                    try await bus.publish(large)
                    try await seen.wait(for: 2)
                    let sizes = Set(seen.all.map(\.envelope.payload.count))
                    try expect(sizes == [16, 2011], "the handled payloads have \(sizes) bytes")
                    try expect(
                        store.bodies.withLock { $0.count } == 1,
                        "the store has another number of bodies than 1"
                    )
                    store.losesBodies.withLock { $0 = true }
                    try await bus.publish(large)
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("one dead letter") { try await letters.count() == 1 }
                    let letter = try await letters.entries(limit: 1)[0]
                    try expect(
                        letter.failure.reason == .undecodable,
                        "the reason is \(letter.failure.reason)"
                    )
                    try expect(letter.failure.message.contains("not in the store"), letter.failure.message)
                    try expect(
                        letter.envelope.contentEncoding == ClaimCheck.contentEncoding,
                        "the encoding was changed"
                    )
                    let name = ClaimCheckName(
                        rawValue: String(decoding: letter.envelope.payload, as: UTF8.self)
                    )
                    try expect(
                        name != nil,
                        "the broker has \(letter.envelope.payload.count) bytes, and no name"
                    )
                }
            }
        ]
    }
}

private struct LargeProbe: Event {
    static let topic: Topic = "conformance.large"
    var text: String
}

private final class MemoryStore: ClaimCheckStore {
    let bodies = Locked<[ClaimCheckName: [UInt8]]>([:])
    let losesBodies = Locked(false)

    func put(_ body: [UInt8], named name: ClaimCheckName) async throws {
        bodies.withLock { $0[name] = body }
    }

    func get(_ name: ClaimCheckName) async throws -> [UInt8]? {
        losesBodies.withLock { $0 } ? nil : bodies.withLock { $0[name] }
    }

    func remove(_ name: ClaimCheckName) async throws {
        bodies.withLock { $0[name] = nil }
    }
}
