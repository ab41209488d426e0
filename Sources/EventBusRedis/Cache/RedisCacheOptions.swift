/// The options of a ``RedisCache``.
///
/// ```swift
/// let cache = RedisCache(redis, options: RedisCacheOptions(prefix: "prices", firstLevelCapacity: 50_000))
/// ```
public struct RedisCacheOptions: Hashable, Sendable {
    /// The prefix of the keys, without braces. Caches with different prefixes do not share entries. Defaults to
    /// `eventbus`.
    public var prefix: String
    /// The maximum number of values in the memory of this process. Zero disables the first level. Defaults to 10,000.
    public var firstLevelCapacity: Int
    /// The maximum size in bytes of the values in the memory of this process, as encoded by the codec, including their
    /// keys. A larger value is not kept there. Defaults to 64 MiB.
    public var firstLevelBytes: Int
    /// The time after which another process takes over from one that died while it computed a value. The lease is
    /// renewed for as long as the computation runs. Defaults to 3 s.
    public var lease: Duration
    /// The maximum duration of a read from Redis, after which the cache computes the value instead. Defaults to 500 ms.
    ///
    /// A large value is waited for while its bytes arrive. Reads behind it on the connection wait for up to the
    /// ``RedisConfiguration/commandTimeout``.
    public var readTimeout: Duration
    /// The encoded size in bytes from which on a value is compressed, or `nil` to disable compression. A value that
    /// would not become smaller by an eighth is stored uncompressed. Defaults to 4,096.
    public var compressionThreshold: Int?
    /// The maximum number of concurrent computations while Redis cannot be reached. Those that wait or have waited for
    /// another computation are not counted. Defaults to 64.
    public var maximumConcurrentFallbacks: Int

    /// Creates options. Omitted values use the defaults.
    public init(
        prefix: String = "eventbus",
        firstLevelCapacity: Int = 10_000,
        firstLevelBytes: Int = 64 << 20,
        lease: Duration = .seconds(3),
        readTimeout: Duration = .milliseconds(500),
        compressionThreshold: Int? = 4096,
        maximumConcurrentFallbacks: Int = 64
    ) {
        self.prefix = prefix
        self.firstLevelCapacity = firstLevelCapacity
        self.firstLevelBytes = firstLevelBytes
        self.lease = lease
        self.readTimeout = readTimeout
        self.compressionThreshold = compressionThreshold
        self.maximumConcurrentFallbacks = maximumConcurrentFallbacks
    }
}
