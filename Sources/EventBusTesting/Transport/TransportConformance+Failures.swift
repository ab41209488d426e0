import EventBus

extension TransportConformance {
    var failureChecks: [ConformanceCheck] {
        [
            check("a failed event is redelivered, as the next attempt, no earlier than its delay") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                let delay = Duration.milliseconds(100)
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(retry: .fixed(delay, maximumAttempts: 3))
                ) { event, context in
                    seen.note(event.envelope, attempt: context.attempt, at: bus.clock.now)
                    if context.attempt < 3 { throw ExpectedError() }
                    try expect(context.isLastAttempt, "the third of three attempts is the last")
                }
                try await scene.running(bus) {
                    let sent = try scene.event(number: 1)
                    try await bus.publish(sent)
                    try await seen.wait(for: 3)
                    try expect(seen.all.map(\.attempt) == [1, 2, 3], "the attempts were \(seen.all.map(\.attempt))")
                    for (before, after) in zip(seen.all, seen.all.dropFirst()) {
                        let waited = before.time.duration(to: after.time)
                        try expect(waited >= delay, "an attempt came after \(waited), its delay is \(delay)")
                        try expect(before.envelope == after.envelope, "a retry changed the event")
                    }
                }
            },
            check("a failing event does not hold up the events after it") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(concurrency: 1, retry: .fixed(.milliseconds(100), maximumAttempts: 2))
                ) { event, context in
                    if event.envelope.payload == Array("0".utf8) && context.attempt == 1 { throw ExpectedError() }
                    seen.note(event.envelope)
                }
                try await scene.running(bus) {
                    for number in 0..<10 { try await bus.publish(try scene.event(number: number)) }
                    try await seen.wait(for: 10)
                    try expect(seen.numbers.sorted() == Array(0..<10), "handled: \(seen.numbers)")
                    try expect(seen.numbers.first != 0, "the failed event was handled first: nothing was delayed")
                }
            },
            check("a retry reaches the subscription that failed, and no other") { scene in
                let bus = try await scene.makeBus()
                let (failing, healthy) = (DeliveryRecord(), DeliveryRecord())
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group("failing"),
                    options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 2))
                ) { event, context in
                    failing.note(event.envelope)
                    if context.attempt == 1 { throw ExpectedError() }
                }
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group("healthy")) { event, _ in
                    healthy.note(event.envelope)
                }
                try await scene.running(bus) {
                    try await bus.publish(try scene.event(number: 1))
                    try await failing.wait(for: 2)
                    try await bus.publish(try scene.event(number: 2))
                    try await healthy.wait(for: 2)
                    let handled = healthy.numbers.sorted()
                    try expect(handled == [1, 2], "the group that did not fail saw \(handled)")
                }
            },
            check("an event survives the end of the instance that fails it, if another one published it") {
                scene in
                let first = try await scene.makeBus()
                let second = try await scene.makeBus()
                let seen = DeliveryRecord()
                first.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 3))
                ) { event, context in
                    seen.note(event.envelope, attempt: context.attempt)
                    throw ExpectedError()
                }
                second.subscribe(to: try scene.pattern("probe"), group: scene.group()) { event, context in
                    seen.note(event.envelope, attempt: context.attempt)
                }
                try await scene.running(first) {
                    try await first.publish(try scene.event(number: 1))
                    try await seen.wait(for: 1)
                }
                try await scene.running(second) {
                    try await eventually("the next attempt at the other instance") {
                        seen.all.last.map { $0.attempt > 1 } ?? false
                    }
                }
            },
        ]
    }

    var deadLetterChecks: [ConformanceCheck] {
        [
            check("an event keeps the id that its subscription derives, in retries, dead letters and replays") {
                scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    options: .init(retry: .fixed(.milliseconds(100), maximumAttempts: 2), identity: .header("order"))
                ) { event, context in
                    seen.note(event.envelope, attempt: context.attempt)
                    if seen.count < 3 { throw ExpectedError() }
                }
                try await scene.running(bus) {
                    var event = try scene.event(number: 1)
                    event.headers["order"] = "order-1"
                    try await bus.publish(event)
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("one dead letter") { try await letters.count() == 1 }
                    let letter = try await letters.entries(limit: 1).first?.envelope.id
                    try expect(letter == "order-1", "the dead letter has the id \(letter.map(\.description) ?? "none")")
                    let replayed = try await letters.replay("order-1")
                    try expect(replayed == 1, "\(replayed) replayed")
                    try await seen.wait(for: 3)
                    let ids = seen.all.map(\.envelope.id)
                    try expect(ids == ["order-1", "order-1", "order-1"], "handled as \(ids)")
                }
            },
            check("an event is dead-lettered with the reason after exactly the configured attempts") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    name: "failing",
                    options: .init(retry: .fixed(.milliseconds(20), maximumAttempts: 3))
                ) { event, context in
                    seen.note(event.envelope, attempt: context.attempt)
                    throw ExpectedError()
                }
                try await scene.running(bus) {
                    var sent = try scene.event(payload: Array("work".utf8), key: "k")
                    sent.headers = ["tenant": "acme"]
                    sent.correlationID = "chain-1"
                    try await bus.publish(sent)
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("one dead letter") { try await letters.count() == 1 }
                    let entries = try await letters.entries(limit: 10)
                    try expect(entries.count == 1, "there are \(entries.count) dead letters")
                    let letter = entries[0]
                    try expect(letter.envelope == sent, "the event became \(letter.envelope)")
                    try expect(letter.group == scene.group(), "its group is \(letter.group)")
                    try expect(letter.queue == "\(scene.group()).failing", "its queue is \(letter.queue)")
                    try expect(letter.failure.reason == .attemptsExhausted, "the reason is \(letter.failure.reason)")
                    try expect(
                        letter.failure.errorType.hasSuffix("ExpectedError"),
                        "the error's type is \(letter.failure.errorType)"
                    )
                    try expect(
                        letter.failure.message == "expected by the check",
                        "the message is \(letter.failure.message)"
                    )
                    try expect(letter.attempts == 3, "it counts \(letter.attempts) attempts")
                    let first = letter.firstFailure ?? letter.lastFailure
                    try expect(first <= letter.lastFailure, "the first failure is later than the last")
                    try expect(seen.all.map(\.attempt) == [1, 2, 3], "the attempts were \(seen.all.map(\.attempt))")
                }
            },
            check("a non-retryable error dead-letters the event immediately") { scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group()) { event, context in
                    seen.note(event.envelope, attempt: context.attempt)
                    throw NonRetryableTestError()
                }
                try await scene.running(bus) {
                    try await bus.publish(try scene.event(number: 1))
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("one dead letter") { try await letters.count() == 1 }
                    try expect(seen.count == 1, "there were \(seen.count) attempts")
                    let reason = try await letters.entries(limit: 1).first?.failure.reason
                    try expect(reason == .nonRetryable, "the reason is \(String(describing: reason))")
                }
            },
            check("an event that cannot be decoded is dead-lettered, byte for byte") { scene in
                let bus = try await scene.makeBus()
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group()) { event, _ in
                    _ = try event.decoded(as: [String: Int].self)
                }
                try await scene.running(bus) {
                    let garbage: [UInt8] = [0xFF, 0x00, 0x7B] + Array("{not json".utf8)
                    try await bus.publish(try scene.event(payload: garbage))
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("one dead letter") { try await letters.count() == 1 }
                    let letter = try await letters.entries(limit: 1)[0]
                    try expect(letter.failure.reason == .undecodable, "the reason is \(letter.failure.reason)")
                    try expect(letter.envelope.payload == garbage, "the bytes were changed")
                }
            },
            check("dead letters are replayed to their own subscription, as a first attempt") { scene in
                let bus = try await scene.makeBus()
                let (seen, other) = (DeliveryRecord(), DeliveryRecord())
                let isMended = Signal()
                bus.subscribe(
                    to: try scene.pattern("probe"),
                    group: scene.group(),
                    name: "failing",
                    options: .init(retry: .never)
                ) { event, context in
                    seen.note(event.envelope, attempt: context.attempt)
                    if !isMended.isRaised { throw ExpectedError() }
                }
                bus.subscribe(to: try scene.pattern("probe"), group: scene.group(), name: "healthy") { event, _ in
                    other.note(event.envelope)
                }
                try await scene.running(bus) {
                    for number in 0..<4 { try await bus.publish(try scene.event(number: number)) }
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("four dead letters") { try await letters.count() == 4 }
                    try await other.wait(for: 4)
                    isMended.raise()
                    let dry = try await letters.replayAll(options: .init(dryRun: true))
                    try expect(dry == 4, "a dry run counted \(dry)")
                    try expect(try await letters.count() == 4, "a dry run took dead letters away")
                    // Dead letters are in the order in which the attempts ended, not in that of the events.
                    let notZero = try await letters.entries(limit: 10).filter {
                        $0.envelope.payload != Array("0".utf8)
                    }
                    try expect(notZero.count == 3, "\(notZero.count) dead letters are not of event 0")
                    let chosen = notZero[1].envelope
                    let one = try await letters.replay(chosen.id)
                    try expect(one == 1, "\(one) were replayed by id")
                    try await seen.wait(for: 5)
                    try expect(seen.all[4].envelope == chosen, "another event was replayed, or it was changed")
                    try expect(seen.all[4].attempt == 1, "a replay came as attempt \(seen.all[4].attempt)")
                    let discarded = try await letters.discard { $0.envelope.payload == Array("0".utf8) }
                    try expect(discarded == 1, "\(discarded) were discarded")
                    let rest = try await letters.replayAll(options: .init(maximumPerSecond: 1000))
                    try expect(rest == 2, "\(rest) were replayed")
                    try await seen.wait(for: 7)
                    try await eventually("no dead letters") { try await letters.count() == 0 }
                    try expect(other.count == 4, "a replay reached another subscription")
                }
            },
            check("dead letters are scanned in one pass, restored with their failure, and sent to another queue") {
                scene in
                let bus = try await scene.makeBus()
                let seen = DeliveryRecord()
                for name in ["old", "new"] {
                    bus.subscribe(
                        to: try scene.pattern(name == "old" ? "probe" : "other"),
                        group: scene.group(),
                        name: name,
                        options: .init(retry: .never)
                    ) { event, context in
                        seen.note(event.envelope, attempt: context.attempt)
                        if name == "old" { throw ExpectedError() }
                    }
                }
                try await scene.running(bus) {
                    for number in 0..<3 { try await bus.publish(try scene.event(number: number)) }
                    let letters = bus.deadLetters(of: scene.group())
                    try await eventually("three dead letters") { try await letters.count() == 3 }
                    let scanned = Locked<[DeadLetter]>([])
                    try await letters.scan { letter in
                        scanned.withLock {
                            $0.append(letter)
                            return $0.count < 2
                        }
                    }
                    try expect(scanned.withLock { $0.count } == 2, "the scan did not stop when it was told")
                    let all = try await letters.entries(limit: 10)
                    try expect(try await letters.discard { _ in true } == 3, "not all were discarded")
                    try await letters.restore(all)
                    try await eventually("three restored dead letters") { try await letters.count() == 3 }
                    let restored = try await letters.entries(limit: 10)
                    for (before, after) in zip(all, restored) {
                        try expect(after.envelope == before.envelope, "the event became \(after.envelope)")
                        try expect(after.queue == before.queue, "the queue became \(after.queue)")
                        try expect(after.failure == before.failure, "the failure became \(after.failure)")
                        try expect(after.attempts == before.attempts, "the attempts became \(after.attempts)")
                        try expect(after.lastFailure == before.lastFailure, "the time became \(after.lastFailure)")
                    }
                    let before = seen.count
                    let moved = try await letters.replayAll(options: .init(queue: "\(scene.group()).new"))
                    try expect(moved == 3, "\(moved) were sent to the other queue")
                    // The other subscription does not request the topic, so it dead-letters the events with the reason.
                    try await eventually("three dead letters of the other queue") {
                        let entries = try await letters.entries(limit: 10)
                        return entries.count == 3 && entries.allSatisfy { $0.failure.reason == .staleBinding }
                    }
                    try expect(
                        try await letters.entries(limit: 10).allSatisfy { $0.queue == "\(scene.group()).new" },
                        "they came from another queue"
                    )
                    try expect(seen.count == before, "a handler received an event that its subscription does not want")
                }
            },
        ]
    }
}
