import EventBus

extension TransportConformance {
    var retryChecks: [ConformanceCheck] {
        [
            check("a handler decides when its event is retried, and whether the attempt counts") { scene in
                let bus = try await scene.makeBus()
                let seen = Sightings()
                let delay = Duration.milliseconds(100)
                var options = SubscriptionOptions(retry: .fixed(.seconds(3600), maxAttempts: 4))
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
        ]
    }
}
