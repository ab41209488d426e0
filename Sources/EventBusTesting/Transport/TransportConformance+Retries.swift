import EventBus

extension TransportConformance {
    var retryChecks: [ConformanceCheck] {
        [
            check("a handler decides when its event is retried, and whether the attempt counts") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                let delay = Duration.milliseconds(100)
                var options = SubscriptionOptions(retry: .fixed(.seconds(3600), maximumAttempts: 4))
                options.retryVerdict = { $0 is ExpectedError ? .retry(after: delay) : .byPolicy }
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group(), options: options) {
                    event,
                    context in
                    seen.note(event.envelope, attempt: context.attempt, at: bus.clock.now)
                    switch seen.count {
                    case 1: throw RetryLater(after: delay)
                    case 2: throw RetryLater(after: delay, countsAsAttempt: false)
                    case 3: throw ExpectedError()
                    default: break
                    }
                }
                try await scene.running(bus) {
                    try await bus.publish(try scene.event(number: 1))
                    try await seen.wait(for: 4)
                    let attempts = seen.all.map(\.attempt)
                    try expect(attempts == [1, 2, 2, 3], "the attempts were \(attempts)")
                    for (before, after) in zip(seen.all, seen.all.dropFirst()) {
                        let waited = before.time.duration(to: after.time)
                        try expect(waited >= delay, "an attempt came after \(waited), its delay is \(delay)")
                    }
                }
            },
            check("retries end at the policy's maximum time, and the reason is in the dead letter") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                let last = Locked<[Bool]>([])
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(
                        retry: .fixed(.milliseconds(20), maximumAttempts: .max, maximumTime: .milliseconds(200))
                    )
                ) { event, context in
                    last.withLock { $0.append(context.isLastAttempt) }
                    seen.note(event.envelope, attempt: context.attempt)
                    throw ExpectedError()
                }
                try await scene.running(bus) {
                    try await bus.publish(try scene.event(number: 1))
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("the dead letter") { try await letters.count() == 1 }
                    let reason = try await letters.entries(limit: 1).first?.failure.reason
                    try expect(reason == .retryTimeExhausted, "the reason is \(reason.map(\.rawValue) ?? "missing")")
                    let attempts = seen.all.map(\.attempt)
                    try expect(attempts == Array(1...max(1, attempts.count)), "the attempts were \(attempts)")
                    try expect(attempts.count > 1, "nothing was retried")
                    let isLast = last.withLock { $0 }
                    try expect(isLast.firstIndex(of: true) == isLast.count - 1, "the last attempt did not know it")
                }
            },
            check("a postponement that does not count leaves the whole time for retries") { scene in
                for (name, ordering, broadcast) in [
                    ("unordered", SubscriptionOptions.Ordering.none, false), ("by-key", .byPartitionKey, false),
                    ("broadcast", .none, true),
                ] {
                    let bus = try await scene.makeBus()
                    let seen = DeliveryRecord()
                    let last = Locked<[Bool]>([])
                    var options = SubscriptionOptions(ordering: ordering, broadcast: broadcast)
                    options.retry = .fixed(.milliseconds(20), maximumAttempts: .max, maximumTime: .milliseconds(300))
                    bus.subscribe(to: try scene.pattern(name), group: scene.group(name), options: options) {
                        event,
                        context in
                        last.withLock { $0.append(context.isLastAttempt) }
                        seen.note(event.envelope, attempt: context.attempt)
                        switch seen.count {
                        case 1: throw RetryLater(after: .milliseconds(400), countsAsAttempt: false)
                        case 2: throw ExpectedError()
                        default: break
                        }
                    }
                    try await scene.running(bus) {
                        try await bus.publish(try scene.event(name, number: 1))
                        try await seen.wait(for: 3)
                        let attempts = seen.all.map(\.attempt)
                        try expect(attempts == [1, 1, 2], "\(name): the attempts were \(attempts)")
                        let isLast = last.withLock { $0[1] }
                        try expect(!isLast, "\(name): the first failure was that of the last attempt")
                    }
                }
            },
            check("a delay that is longer than a broker can wait is shortened, and the event is kept") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                let year = Duration.seconds(365 * 86_400)
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(retry: .fixed(year, maximumAttempts: 2))
                ) { event, context in
                    seen.note(event.envelope, attempt: context.attempt)
                    switch Int(String(decoding: event.envelope.payload, as: UTF8.self)) {
                    case 0: throw ExpectedError()
                    case 1: throw RetryLater(after: year)
                    case 2: throw RetryLater(after: year, countsAsAttempt: false)
                    default: break
                    }
                }
                try await scene.running(bus) {
                    for number in 0..<10 { try await bus.publish(try scene.event(number: number)) }
                    try await seen.wait(for: 10)
                    // Anything that was returned at once would be redelivered before an event that is published later.
                    try await bus.publish(try scene.event(number: 10))
                    try await eventually("the last event is handled") { seen.numbers.contains(10) }
                    try expect(seen.numbers.sorted() == Array(0...10), "handled: \(seen.numbers)")
                    let dead = try await bus.deadLetters(of: scene.group()).count()
                    try expect(dead == 0, "\(dead) are dead letters")
                }
            },
            check("what a handler publishes when it has returned is sent once, and discarded if it throws") { scene in
                let bus = try await scene.makeBus()
                let effects = DeliveryRecord()
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(retry: .fixed(.milliseconds(1), maximumAttempts: 3), publishing: .whenHandled)
                ) { event, context in
                    let text = String(decoding: event.envelope.payload, as: UTF8.self)
                    let effect = try scene.event("effect", payload: Array("\(text)/\(context.attempt)".utf8))
                    let receipt = try await bus.publish(effect)
                    try expect(receipt.outcome == .held, "the outcome was \(receipt.outcome)")
                    if context.attempt < 3 { throw ExpectedError() }
                }
                bus.subscribe(to: try scene.pattern("effect"), group: scene.group("effects")) { event, _ in
                    effects.note(event.envelope)
                }
                try await scene.running(bus) {
                    for number in 0..<10 { try await bus.publish(try scene.event(number: number)) }
                    try await effects.wait(for: 10)
                    // Anything that was published too early would arrive before an event that is published later.
                    try await bus.publish(try scene.event("effect", payload: Array("last".utf8)))
                    try await eventually("the last event is handled") { effects.texts.contains("last") }
                    let expected = (0..<10).map { "\($0)/3" } + ["last"]
                    try expect(effects.texts.sorted() == expected, "published: \(effects.texts)")
                    let dead = try await bus.deadLetters(of: scene.group()).count()
                    try expect(dead == 0, "\(dead) are dead letters")
                }
            },
            check("an attempt that is repeated publishes the same events under the same identities") { scene in
                let bus = try await scene.makeBus()
                let published = DeliveryRecord()
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(retry: .fixed(.milliseconds(1), maximumAttempts: 3))
                ) { event, context in
                    let number = try event.decoded(as: Int.self)
                    let effect = Effect(number: number, isLast: context.isLastAttempt)
                    published.note(try bus.envelope(for: effect), attempt: context.attempt)
                    if !context.isLastAttempt { throw ExpectedError() }
                }
                try await scene.running(bus) {
                    for number in 0..<20 { try await bus.publish(try scene.event(number: number)) }
                    try await published.wait(for: 60)
                    let byEvent = Dictionary(grouping: published.all, by: \.envelope.causationID)
                    try expect(byEvent.count == 20, "the attempts belong to \(byEvent.count) events")
                    for attempts in byEvent.values {
                        let equal = Set(attempts.filter { $0.attempt < 3 }.map(\.envelope.id))
                        try expect(equal.count == 1, "two equal attempts published under \(equal.count) identities")
                    }
                    let all = Set(published.all.map(\.envelope.id))
                    try expect(all.count == 40, "40 different events have \(all.count) identities")
                }
            },
        ]
    }
}

/// An event that a handler publishes.
private struct Effect: Event {
    static let topic: Topic = "effect"
    var number: Int
    /// A value that distinguishes the last attempt from the others.
    var isLast: Bool
}
