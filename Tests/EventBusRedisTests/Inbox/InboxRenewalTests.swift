import EventBus
import EventBusInMemory
import Glibc
import Testing

@testable import EventBusRedis

extension RedisTests {
    @Suite(.timeLimit(.minutes(2)))
    struct InboxRenewalTests {
        private struct Placed: Event {
            static let topic: Topic = "test.placed"
            var number: Int
        }

        /// Returns whether the claim in the record of an event is active.
        private static let isClaimed = """
            local time = redis.call('TIME')
            local ends = string.match(redis.call('GET', KEYS[1]) or '', '^p:%d+:(%d+):')
            return ends and tonumber(ends) > time[1] * 1000 + time[2] / 1000 and 1 or 0
            """

        @Test func `a claim is renewed while handlers block every thread that tasks run on`() async throws {
            let server = try await RedisServer()
            // In a process of its own, because other tests need these threads, too.
            await #expect(processExitsWith: .success) { [port = server.port as Int] in
                let counts = try await Self.counts(ofBlockingHandlersAt: port)
                #expect(counts.looks > counts.events)
                #expect(counts.lapses == 0, "of \(counts.looks)")
                exit(counts.looks > counts.events && counts.lapses == 0 ? 0 : 1)
            }
        }

        /// Handles events with handlers that block all threads, and counts how often they look at their claims, and how often
        /// these have ended.
        private static func counts(
            ofBlockingHandlersAt port: Int
        ) async throws -> (events: Int, looks: Int, lapses: Int) {
            let configuration = RedisConfiguration(endpoint: .tcp(host: "127.0.0.1", port: port))
            let client = try RedisClient(configuration, logger: .silent)
            let bus = EventBus(transport: .inMemory(InMemoryBroker()), logger: .silent)
            let lease = Duration.seconds(1)
            let count = 2 * sysconf(Int32(_SC_NPROCESSORS_ONLN))
            var options = SubscriptionOptions(concurrency: count, inbox: RedisInbox(client))
            options.inboxOptions = InboxOptions(lease: lease)
            let (looks, lapses, handled) = (Shared(0), Shared(0), Shared(0))
            bus.subscribe(to: Placed.self, group: "g", name: "orders", options: options) { _, context in
                let tag = RedisKeys.tag("g.orders", Placed.topic.rawValue, context.id.rawValue)
                let question = RedisCommand("EVAL", [.text(isClaimed), 1, .text("eventbus:inbox:\(tag)")])
                // Calls that block their thread until the server answers, as those of a driver do.
                let driver = try RawConnection(waitingFor: port)
                let end = ContinuousClock.now.advanced(by: lease * 3)
                while ContinuousClock.now < end {
                    driver.write("BLPOP nothing-\(context.id.rawValue) 0.01\r\n")
                    _ = try driver.read()
                    driver.write(question.wire)
                    let isClaimed = try driver.read() == ":1\r\n"
                    looks.change { $0 += 1 }
                    if !isClaimed { lapses.change { $0 += 1 } }
                }
                handled.change { $0 += 1 }
            }
            try await bus.withRunning {
                for number in 0..<count { try await bus.publish(Placed(number: number)) }
                try await eventually("all events should be handled", within: .seconds(60)) { handled.value == count }
            }
            return (count, looks.value, lapses.value)
        }
    }
}
