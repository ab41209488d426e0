import EventBus

extension TransportConformance {
    var payloadChecks: [ConformanceCheck] {
        [
            check("payload steps are undone in reverse, in batches, retries and scheduled events too") { scene in
                let bus = try await scene.makeBus { $0.payloadSteps = [SealingStep(name: "inner"), SealingStep()] }
                let failed = Locked<Set<Int>>([])
                let seen = DeliveryRecord()
                bus.subscribe(
                    to: SealedProbe.self,
                    group: scene.group(),
                    options: .init(retry: .fixed(.milliseconds(10), maximumAttempts: 3))
                ) { event, context in
                    if failed.withLock({ $0.insert(event.number).inserted }) { throw ExpectedError() }
                    seen.note(context.envelope, attempt: context.attempt)
                }
                try await scene.running(bus) {
                    try await bus.publish(SealedProbe(number: 1))
                    for result in try await bus.publish(contentsOf: [SealedProbe(number: 2), SealedProbe(number: 3)]) {
                        _ = try result.get()
                    }
                    if features.contains(.scheduling) {
                        try await bus.publish(SealedProbe(number: 4), delay: .milliseconds(100))
                    } else {
                        try await bus.publish(SealedProbe(number: 4))
                    }
                    try await seen.wait(for: 4)
                    try expect(Set(seen.texts) == Set((1...4).map { #"{"number":\#($0)}"# }), "handled \(seen.texts)")
                    try expect(seen.all.allSatisfy { $0.attempt == 2 }, "the first attempts were not retried")
                    try expect(seen.all.allSatisfy { $0.envelope.contentEncoding == nil }, "an encoding was left")
                }
            },
            check("an event in an encoding that no step handles is dead-lettered unchanged, and the reason names it") {
                scene in
                let bus = try await scene.makeBus { $0.additionalPayloadSteps = [SealingStep()] }
                bus.subscribe(to: SealedProbe.self, group: scene.group()) { _, _ in }
                let bytes: [UInt8] = [0xFF, 0x00, 0x7B, 1]
                try await scene.running(bus) {
                    try await bus.publish(
                        Envelope(topic: SealedProbe.topic, payload: bytes, contentEncoding: "zstd, x-sealed")
                    )
                    try await scene.expectUndecodable(on: bus, naming: "zstd", payload: bytes, "zstd, x-sealed")
                }
            },
            check("an event whose encoding cannot be undone is dead-lettered unchanged") { scene in
                let bus = try await scene.makeBus { $0.payloadSteps = [SealingStep()] }
                bus.subscribe(to: SealedProbe.self, group: scene.group()) { _, _ in }
                try await scene.running(bus) {
                    // Sealed for another event.
                    let sealed = try bus.envelope(for: SealedProbe(number: 1)).payload
                    try await bus.publish(
                        Envelope(topic: SealedProbe.topic, payload: sealed, contentEncoding: "x-sealed")
                    )
                    try await scene.expectUndecodable(on: bus, naming: "x-sealed", payload: sealed, "x-sealed")
                }
            },
        ]
    }

    var payloadRequestChecks: [ConformanceCheck] {
        [
            check("payload steps encode requests and replies") { scene in
                let configure: (inout EventBusConfiguration) -> Void = {
                    $0.payloadSteps = [SealingStep(isRequired: true)]
                }
                let (asking, answering) = (try await scene.makeBus(configure), try await scene.makeBus(configure))
                answering.respond(to: SealedRequest.self, group: scene.group()) { request, _ in request.number * 2 }
                try await scene.running(asking, answering) {
                    let answer = try await asking.request(SealedRequest(number: 21), timeout: .seconds(10))
                    try expect(answer == 42, "the answer to 21 was \(answer)")
                }
            }
        ]
    }
}

extension ConformanceContext {
    /// Checks that there is one dead letter with these bytes and this encoding, and that its reason contains `name`.
    fileprivate func expectUndecodable(
        on bus: EventBus,
        naming name: String,
        payload: [UInt8],
        _ contentEncoding: String
    ) async throws {
        let letters = bus.deadLetters(of: group())
        try await eventually("one dead letter") { try await letters.count() == 1 }
        let letter = try await letters.entries(limit: 1)[0]
        try expect(letter.failure.reason == .undecodable, "the reason is \(letter.failure.reason)")
        try expect(letter.failure.message.contains(name), "the reason is \(letter.failure.message)")
        try expect(letter.envelope.payload == payload, "the bytes were changed")
        try expect(
            letter.envelope.contentEncoding == contentEncoding,
            "the encoding is \(letter.envelope.contentEncoding ?? "none")"
        )
    }
}

private struct SealedProbe: Event {
    static let topic: Topic = "conformance.sealed"
    var number: Int
}

private struct SealedRequest: RequestEvent {
    typealias Reply = Int
    static let topic: Topic = "conformance.sealed.request"
    var number: Int
}

/// A step that writes the event's identity and topic before the payload, and accepts no other.
private struct SealingStep: PayloadStep {
    var contentEncoding = "x-sealed"
    var isRequired = false

    init(name: String = "x-sealed", isRequired: Bool = false) {
        self.contentEncoding = name
        self.isRequired = isRequired
    }

    private func seal(of envelope: Envelope) -> [UInt8] {
        Array("\(contentEncoding) \(envelope.id) \(envelope.topic)\n".utf8)
    }

    func encode(_ envelope: inout Envelope) throws -> Bool {
        envelope.payload = seal(of: envelope) + envelope.payload
        return true
    }

    func decode(_ envelope: inout Envelope) throws {
        let seal = seal(of: envelope)
        guard envelope.payload.starts(with: seal) else { throw ExpectedError() }
        envelope.payload.removeFirst(seal.count)
    }
}
