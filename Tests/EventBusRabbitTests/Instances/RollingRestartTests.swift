import EventBus
import EventBusRabbit
import EventBusTesting
import Testing

extension FaultTests {
    /// Instances that are replaced one after another while events fail and are retried.
    @Suite(.serialized, .timeLimit(.minutes(3)))
    struct RollingRestartTests {
        private static let maximumAttempts = 4

        /// The attempts that handlers saw of each event.
        private final class Attempts: Sendable {
            private let attempts = Locked<[Int: [Int]]>([:])

            var all: [Int: [Int]] { attempts.withLock { $0 } }

            func note(_ number: Int, _ attempt: Int) { attempts.withLock { $0[number, default: []].append(attempt) } }
        }

        @Test(arguments: [false, true])
        func `a rolling restart of consumers costs no event an attempt`(isHard: Bool) async throws {
            let broker = try await TestBroker.shared()
            let name = freshName()
            let configuration = try broker.configuration { $0.exchange = "events-\(name)" }
            let topic = try Topic(validating: "\(name).probe")
            let attempts = Attempts()
            let load = Load()
            let publishing = Instance(try EventBus(transport: .rabbit(configuration)))
            let publisher = publishing.bus
            let effect = try Topic(validating: "\(name).effect")

            @Sendable func instance() async throws -> (Instance, TestProxy) {
                let proxy = try TestProxy(to: configuration.hosts[0].port)
                var own = configuration
                own.hosts[0].port = proxy.port
                let bus = try EventBus(transport: .rabbit(own))
                // Every event fails twice. Those that end with 3 never succeed.
                let subscription = bus.subscribe(
                    to: TopicPattern(topic),
                    group: "group-\(name)",
                    name: "probe",
                    options: .init(
                        concurrency: 32,
                        retry: .fixed(.milliseconds(100), maximumAttempts: Self.maximumAttempts)
                    )
                ) { event, context in
                    let number = Int(String(decoding: event.envelope.payload, as: UTF8.self)) ?? 0
                    attempts.note(number, context.attempt)
                    // A handler that waits for a confirmation, so that some are running at any moment.
                    try await publisher.publish(Envelope(topic: effect, payload: []))
                    if context.attempt < 3 || number % 10 == 3 { throw HandlerFailed() }
                }
                let instance = Instance(bus)
                try await subscription.attached()
                return (instance, proxy)
            }

            var instances = [try await instance(), try await instance(), try await instance()]
            var restarts = 0
            do {
                let running = Task { await load.run(publisher, topic: topic, tasks: 8, deadline: .seconds(20)) }
                for _ in 0..<(isFull ? 9 : 6) {
                    let before = load.confirmed.count
                    try await eventually("more events") { load.confirmed.count >= before + 40 }
                    let (oldest, proxy) = instances.removeFirst()
                    if isHard {
                        // To the broker the instance is gone immediately, with all its unsettled deliveries.
                        proxy.cutAll()
                    }
                    try await oldest.end()
                    instances.append(try await instance())
                    restarts += 1
                }
                load.stop()
                await running.value
                let confirmed = load.confirmed
                let hopeless = confirmed.filter { $0 % 10 == 3 }
                let letters = publisher.deadLetters(of: "group-\(name)")
                try await eventually("\(hopeless.count) dead letters", within: .seconds(60)) {
                    try await letters.count() >= hopeless.count
                }
                try await eventually("every event handled", within: .seconds(60)) {
                    confirmed.allSatisfy {
                        attempts.all[$0]?.contains($0 % 10 == 3 ? Self.maximumAttempts : 3) ?? false
                    }
                }
                // A cut connection may cause two dead letters of one event, so their number does not show whether the
                // last one arrived.
                @Sendable func numbers(of entries: [DeadLetter]) -> Set<Int> {
                    Set(entries.compactMap { Int(String(decoding: $0.envelope.payload, as: UTF8.self)) })
                }
                try await eventually("a dead letter of each", within: .seconds(60)) {
                    numbers(of: try await letters.entries(limit: 10_000)).isSuperset(of: hopeless)
                }
                let entries = try await letters.entries(limit: 10_000)
                let seen = attempts.all
                // An attempt that no handler saw was lost in the restart.
                let short = confirmed.filter { number in
                    Set(seen[number] ?? []) != Set(1...(number % 10 == 3 ? Self.maximumAttempts : 3))
                }
                let repeated = confirmed.filter { seen[$0]?.count != Set(seen[$0] ?? []).count }
                let dead = numbers(of: entries)
                print(
                    """
                    rolling restart, \(isHard ? "connections cut" : "graceful"): \(restarts) restarts, confirmed \
                    \(confirmed.count), lost \(confirmed.filter { seen[$0] == nil }.count), with fewer attempts than due \
                    \(short.count), with an attempt repeated \(repeated.count), dead letters \(dead.count) of \
                    \(hopeless.count) that never succeed, errors \(load.errors)
                    """
                )
                #expect(short == [])
                #expect(dead == hopeless)
                for entry in entries {
                    #expect(entry.attempts == Self.maximumAttempts)
                    #expect(entry.failure.reason == .attemptsExhausted)
                }
                if !isHard { #expect(repeated == []) }
            }
            for (instance, _) in instances { try await instance.end() }
            try await publishing.end()
        }
    }
}
