import EventBus

/// What a Redis server said when it refused a command: the `underlying` error of an ``/EventBus/EventBusError``.
public struct RedisServerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The first word of the server's message, which tells the kind of error: `NOAUTH`, `WRONGPASS`, `NOPERM`,
    /// `READONLY`, `LOADING`, `OOM`, `NOSCRIPT`, `WRONGTYPE`, `ERR` and others.
    public var kind: String
    /// The server's message, with its kind.
    public var message: String

    /// An error as the server wrote it.
    init(_ message: String) {
        self.kind = String(message.prefix { $0 != " " })
        self.message = message
    }

    /// The server's message.
    public var description: String { message }
}

extension RedisServerError {
    /// The error that callers see.
    var asBusError: EventBusError {
        let (code, advice) = meaning
        return EventBusError(code, advice, underlying: self)
    }

    private var meaning: (EventBusError.Code, String) {
        switch kind {
        case "NOAUTH", "WRONGPASS":
            (.authenticationFailed, "Redis refused the login; check user and password")
        case "NOPERM":
            (.accessRefused, "the Redis user lacks a permission; see the deployment guide for those it needs")
        case "READONLY":
            (.unavailable, "this Redis is a read-only replica; connect to the primary")
        case "LOADING":
            (.unavailable, "Redis is loading its data; it will answer later")
        case "OOM":
            (.unavailable, "Redis is out of memory; raise maxmemory or choose an eviction policy")
        case "BUSY", "UNKILLABLE":
            (.unavailable, "Redis is busy with a script")
        case "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS":
            (.unavailable, "Redis cannot take commands at present")
        case "MOVED", "ASK", "CROSSSLOT":
            (.unsupported, "this Redis is a cluster, whose redirections are not followed; connect to a single server")
        default:
            (.rejected, "Redis refused the command")
        }
    }
}

extension RedisValue {
    /// The value, unless it is an error.
    func orThrow() throws(EventBusError) -> RedisValue {
        if case .error(let message) = self { throw RedisServerError(message).asBusError }
        return self
    }
}
