import EventBus
import EventBusRedis
import Glibc
import Logging

/// Measurements of the Redis client, the lock and the cache with the server that EVENTBUS_TEST_REDIS_URL names. Each
/// line of output is a name, a figure and a unit.
///
///     RedisThroughput get 1|50|1000 [COUNT]   GETs a second on one connection, from this number of tasks
///     RedisThroughput tls-get 1|50|1000 [COUNT]   the same with TLS, with the server EVENTBUS_TEST_REDIS_TLS_URL whose
///                                             authority is in EVENTBUS_TEST_REDIS_CA
///     RedisThroughput lock                    acquire and release, uncontended and contended
///     RedisThroughput hit                     a hit in the first level
///     RedisThroughput redis-hit               a hit in Redis
///     RedisThroughput growth                  a hit in the first level among 10^3 to 10^6 entries
@main
struct RedisThroughput {
    static func main() async throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard let url = getenv("EVENTBUS_TEST_REDIS_URL") else {
            throw EventBusError(.invalidConfiguration, "EVENTBUS_TEST_REDIS_URL is not set; see Scripts/brokers")
        }
        let uri = String(cString: url)
        switch (arguments.first, arguments.dropFirst().first.flatMap { Int($0) }) {
        case ("get", let tasks?):
            let count = arguments.dropFirst(2).first.flatMap { Int($0) } ?? 200_000
            try await Gets(client: client(uri)).run(tasks: tasks, count: count)
        case ("tls-get", let tasks?):
            let count = arguments.dropFirst(2).first.flatMap { Int($0) } ?? 200_000
            try await Gets(client: tlsClient(), suffix: "-tls").run(tasks: tasks, count: count)
        case ("lock", _): try await Locks { try client(uri) }.run()
        case ("hit", _): try await CacheHits { try client(uri) }.measureFirstLevel()
        case ("redis-hit", _): try await CacheHits { try client(uri) }.measureRedis()
        case ("growth", _): try await CacheHits { try client(uri) }.grow()
        default:
            throw EventBusError(
                .invalidConfiguration,
                "get TASKS, tls-get TASKS, lock, hit, redis-hit or growth is expected"
            )
        }
    }

    private static func tlsClient() throws -> RedisClient {
        guard let url = getenv("EVENTBUS_TEST_REDIS_TLS_URL"), let ca = getenv("EVENTBUS_TEST_REDIS_CA") else {
            throw EventBusError(
                .invalidConfiguration,
                "EVENTBUS_TEST_REDIS_TLS_URL or EVENTBUS_TEST_REDIS_CA is not set"
            )
        }
        var configuration = try RedisConfiguration(uri: String(cString: url))
        configuration.tls?.caFile = String(cString: ca)
        return try client(configuration)
    }

    private static func client(_ uri: String) throws -> RedisClient { try client(RedisConfiguration(uri: uri)) }

    private static func client(_ configuration: RedisConfiguration) throws -> RedisClient {
        try RedisClient(
            configuration,
            logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    static func report(_ name: String, _ figure: Double, _ unit: String) {
        print(
            "\(name)\t\(figure < 10 ? "\((figure * 100).rounded() / 100)" : figure < 100 ? "\((figure * 10).rounded() / 10)" : "\(Int(figure.rounded()))")\t\(unit)"
        )
    }
}

/// The CPU time of the process, which does not grow while other processes run.
struct CPUTime {
    static var now: Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}

extension Duration {
    var nanoseconds: Double { self / .nanoseconds(1) }
}

extension [Duration] {
    /// Returns the duration that the fraction `rank` of all durations does not exceed.
    func percentile(_ rank: Double) -> Duration {
        let sorted = sorted()
        guard let last = sorted.indices.last else { return .zero }
        return sorted[Swift.min(last, Int(Double(sorted.count) * rank))]
    }
}
