import EventBus
import EventBusRedis

/// One key, read over one connection by many tasks. Each waits for its reply before it asks again.
struct Gets {
    let client: RedisClient
    /// The end of the names of the figures.
    let suffix: String
    /// The key that redis-benchmark reads.
    private let key = RedisArgument.text("key:__rand_int__")

    init(client: RedisClient, suffix: String = "") {
        self.client = client
        self.suffix = suffix
    }

    func run(tasks: Int, count: Int) async throws {
        _ = try await client.send("SET", key, "xxx")
        // The first tenth establishes the connection and warms the machine's caches.
        _ = try await measure(tasks: tasks, count: count / 10)
        let cpu = CPUTime.now
        let duration = try await measure(tasks: tasks, count: count)
        RedisThroughput.report(
            "get-\(tasks)\(suffix)-cpu",
            (CPUTime.now - cpu).nanoseconds / 1000 / Double(count),
            "µs"
        )
        RedisThroughput.report("get-\(tasks)\(suffix)", Double(count / tasks * tasks) / (duration / .seconds(1)), "1/s")
    }

    private func measure(tasks: Int, count: Int) async throws -> Duration {
        let start = ContinuousClock.now
        try await withThrowingDiscardingTaskGroup { group in
            for _ in 0..<tasks {
                group.addTask {
                    for _ in 0..<(count / tasks) {
                        guard try await client.send("GET", key).bytes?.count == 3 else {
                            throw EventBusError(.unavailable, "the key is gone")
                        }
                    }
                }
            }
        }
        return start.duration(to: .now)
    }
}
