import Testing

/// Tests that require a server. They are serialized, because several of them saturate the machine, and leases expire.
@Suite(.serialized)
struct RedisTests {}
