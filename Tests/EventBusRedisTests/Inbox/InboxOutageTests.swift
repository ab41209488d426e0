import EventBus
import EventBusInMemory
import Testing

@testable import EventBusRedis

extension RedisTests {
    /// A subscription whose inbox is on a Redis that fails.
    @Suite(.timeLimit(.minutes(2)))
    struct InboxOutageTests {
        private struct Placed: Event {
            static let topic: Topic = "test.placed"
            var number: Int
        }

        private struct NotYet: Error {}

        /// The effects of the handler, by event.
        private final class Effects: Sendable {
            private let counts = Locked<[Int: Int]>([:])
            private let attempts = Locked<Set<Int>>([])

            func note(_ event: Placed, _ context: EventContext) {
                counts.withLock { $0[event.number, default: 0] += 1 }
                attempts.withLock { _ = $0.insert(context.attempt) }
            }

            /// The number of events with an effect.
            var events: Int { counts.withLock { $0.count } }
            var total: Int { counts.withLock { $0.values.reduce(0, +) } }
            var allAttempts: Set<Int> { attempts.withLock { $0 } }
        }

        private func options(_ client: RedisClient, ordering: SubscriptionOptions.Ordering = .none)
            -> SubscriptionOptions
        {
            var options = SubscriptionOptions(
                retry: RetryPolicy(maximumAttempts: 2, initial: .milliseconds(10)),
                ordering: ordering,
                inbox: RedisInbox(client)
            )
            // So long that no test sees a claim end by itself.
            options.inboxOptions = InboxOptions(lease: .seconds(600))
            return options
        }

        /// Waits until `count` events are recorded as completed.
        private func awaitRecords(_ count: Int, _ client: RedisClient) async throws {
            try await eventually("\(count) events should be completed") {
                // The server may just be coming back.
                let keys = (try? await client.send(RedisCommand("KEYS", ["eventbus:inbox:*"])))?.array ?? []
                var completed = 0
                for key in keys.compactMap(\.text) {
                    let record = try await client.send(RedisCommand("GET", [.text(key)])).text
                    if record?.hasPrefix("c:") == true { completed += 1 }
                }
                return completed == count
            }
        }

        @Test(arguments: [SubscriptionOptions.Ordering.none, .byPartitionKey])
        func `events that arrive while Redis is away are all handled once, as their first attempt`(
            ordering: SubscriptionOptions.Ordering
        ) async throws {
            let server = try await RedisServer()
            let bus = EventBus(transport: .inMemory(InMemoryBroker()), logger: .silent)
            let effects = Effects()
            bus.subscribe(
                to: Placed.self,
                group: "g",
                name: "orders",
                options: options(try server.client(), ordering: ordering)
            ) { event, context in effects.note(event, context) }
            try await bus.withRunning {
                for number in 0..<1000 {
                    if number == 200 { server.kill() }
                    try await bus.publish(Placed(number: number))
                }
                try await eventually("the subscription should not be ready") { !bus.health().isReady }
                try await server.start()
                try await eventually("all events should be handled", within: .seconds(60)) { effects.events == 1000 }
                try await eventually("the bus should be ready") { bus.health().isReady }
                #expect(effects.total == 1000)
                #expect(effects.allAttempts == [1])
                #expect(try await bus.deadLetters(of: "g").count() == 0)
            }
        }

        /// The fault that occurs while handlers run.
        enum Fault: CaseIterable {
            case connectionCutBeforeTheRecord
            case connectionCutAfterTheRecord
            case serverComesBackEmpty
        }

        @Test(arguments: Fault.allCases)
        func `ten handlers that return during a fault have one effect each, and none is given up`(
            fault: Fault
        ) async throws {
            let server = try await RedisServer()
            let admin = try server.client()
            let proxy = try RedisProxy(to: server.port)
            let bus = EventBus(transport: .inMemory(InMemoryBroker()), logger: .silent)
            let (effects, end) = (Effects(), Signal())
            bus.subscribe(
                to: Placed.self,
                group: "g",
                name: "orders",
                options: options(try proxy.client { $0.commandTimeout = .seconds(60) })
            ) { event, context in
                effects.note(event, context)
                if event.number >= 0 { try await end.wait() }
            }
            try await bus.withRunning {
                // From then on the server knows the scripts.
                try await bus.publish(Placed(number: -1))
                try await awaitRecords(1, admin)
                for number in 0..<10 { try await bus.publish(Placed(number: number)) }
                try await eventually("ten handlers should run") { effects.events == 11 }
                switch fault {
                case .connectionCutBeforeTheRecord:
                    proxy.requests.close()
                    end.raise()
                    proxy.hangUp()
                    proxy.requests.open()
                case .connectionCutAfterTheRecord:
                    proxy.replies.close()
                    end.raise()
                    try await awaitRecords(11, admin)
                    proxy.hangUp()
                    proxy.replies.open()
                case .serverComesBackEmpty:
                    server.kill()
                    end.raise()
                    try await server.start()
                }
                let records = fault == .serverComesBackEmpty ? 10 : 11
                try await awaitRecords(records, admin)
                // A second effect would come before this event's.
                try await bus.publish(Placed(number: 10))
                try await awaitRecords(records + 1, admin)
                #expect(effects.total == 12)
                #expect(try await bus.deadLetters(of: "g").count() == 0)
            }
        }

        /// Returns the end of the claim in the only record, in milliseconds since 1970.
        private func claimEnd(_ client: RedisClient) async throws -> Int64? {
            let keys = try await client.send(RedisCommand("KEYS", ["eventbus:inbox:*"])).array ?? []
            guard let key = keys.first?.text else { return nil }
            let record = try await client.send(RedisCommand("GET", [.text(key)])).text ?? ""
            let words = record.split(separator: ":")
            return words.first == "p" && words.count > 2 ? Int64(words[2]) : nil
        }

        @Test func `a short claim outlives lost connections, so that a duplicate elsewhere has no effect`() async throws
        {
            let server = try await RedisServer()
            let admin = try server.client()
            let proxy = try RedisProxy(to: server.port)
            let (effects, duplicates, end, suppressed) = (Effects(), Effects(), Signal(), Signal())
            let inboxOptions = InboxOptions(lease: .seconds(3), recheckInterval: .milliseconds(50))
            func bus(
                _ client: RedisClient,
                _ handler: @escaping @Sendable (Placed, EventContext) async throws -> Void
            ) -> EventBus {
                let bus = EventBus(transport: .inMemory(InMemoryBroker()), logger: .silent)
                var options = SubscriptionOptions()
                options.middleware = [
                    DeduplicationMiddleware(inbox: RedisInbox(client), options: inboxOptions) { _ in suppressed.raise()
                    }
                ]
                bus.subscribe(to: Placed.self, group: "g", name: "orders", options: options, handler: handler)
                return bus
            }
            let id = PublishOptions(id: EventID())
            let first = bus(try proxy.client()) { event, context in
                effects.note(event, context)
                try await end.wait()
            }
            let second = bus(admin) { event, context in duplicates.note(event, context) }
            try await first.withRunning {
                try await first.publish(Placed(number: 1), options: id)
                try await eventually("the handler should run") { effects.total == 1 }
                try await second.withRunning {
                    try await second.publish(Placed(number: 1), options: id)
                    let start = try #require(try await claimEnd(admin))
                    var last = start
                    // For three leases.
                    while last < start + 9000 {
                        proxy.hangUp()
                        let former = last
                        try await eventually("the claim should be renewed") {
                            last = try await claimEnd(admin) ?? 0
                            return last > former
                        }
                        try #require(duplicates.total == 0)
                    }
                    end.raise()
                    try await suppressed.wait()
                }
            }
            #expect(effects.total == 1)
            #expect(duplicates.total == 0)
        }

        @Test func `an event whose handler failed during an outage is retried soon after it, not after the claim`()
            async throws
        {
            let server = try await RedisServer()
            let bus = EventBus(transport: .inMemory(InMemoryBroker()), logger: .silent)
            let (effects, failures) = (Effects(), Shared(0))
            bus.subscribe(
                to: Placed.self,
                group: "g",
                name: "orders",
                options: options(try server.client { $0.commandTimeout = .milliseconds(200) })
            ) { event, context in
                guard failures.value == 0 else { return effects.note(event, context) }
                failures.change { $0 += 1 }
                server.pause()
                throw NotYet()
            }
            try await bus.withRunning {
                try await bus.publish(Placed(number: 1))
                try await eventually("the subscription should pause") { !bus.health().isReady }
                server.resume()
                try await eventually("the event should be handled") { effects.total == 1 }
                #expect(effects.allAttempts == [2])
                #expect(try await bus.deadLetters(of: "g").count() == 0)
            }
        }
    }
}
