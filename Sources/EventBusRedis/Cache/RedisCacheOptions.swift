/// How a ``RedisCache`` goes about its work.
public struct RedisCacheOptions: Hashable, Sendable {
    /// What the keys begin with; without braces. Caches with different prefixes do not see each other. `eventbus` unless
    /// stated.
    public var prefix: String
    /// How many values are kept in the memory of this process; 10,000 unless stated, zero for none.
    public var firstLevelCapacity: Int
    /// How many bytes the values in the memory of this process may have, as encoded by the codec, with their keys. A
    /// larger value is not kept there. Defaults to 64 MiB.
    public var firstLevelBytes: Int
    /// After how long another process takes over from one that died while it computed; 3 s unless stated. It is renewed
    /// for as long as the computation runs.
    public var lease: Duration
    /// How long a reading step on Redis may take before the cache computes instead; 500 ms unless stated.
    public var readTimeout: Duration
    /// From how many bytes on a value is compressed, as encoded by the codec; 4,096 unless stated, `nil` for never. What
    /// does not become smaller by an eighth is stored as it is.
    public var compressionThreshold: Int?
    /// How many computations may run at once while Redis cannot be reached; 64 unless stated.
    public var computesWithoutRedis: Int

    /// The usual options.
    public init(
        prefix: String = "eventbus",
        firstLevelCapacity: Int = 10_000,
        firstLevelBytes: Int = 64 << 20,
        lease: Duration = .seconds(3),
        readTimeout: Duration = .milliseconds(500),
        compressionThreshold: Int? = 4096,
        computesWithoutRedis: Int = 64
    ) {
        self.prefix = prefix
        self.firstLevelCapacity = firstLevelCapacity
        self.firstLevelBytes = firstLevelBytes
        self.lease = lease
        self.readTimeout = readTimeout
        self.compressionThreshold = compressionThreshold
        self.computesWithoutRedis = computesWithoutRedis
    }
}
