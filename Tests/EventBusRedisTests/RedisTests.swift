import Testing

/// What needs a server. One after another: several of them saturate the machine, and leases do not wait.
@Suite(.serialized)
struct RedisTests {}
