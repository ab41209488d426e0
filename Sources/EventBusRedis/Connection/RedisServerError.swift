import EventBus

/// The error of a Redis server that refused a command. It is the `underlying` error of an ``/EventBus/EventBusError``.
///
/// ```swift
/// do {
///     _ = try await redis.send("INCR", "name")
/// } catch let error as EventBusError where (error.underlying as? RedisServerError)?.kind == "WRONGTYPE" {
///     print("not a number")
/// }
/// ```
public struct RedisServerError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kind of error: `NOAUTH`, `WRONGPASS`, `NOPERM`, `READONLY`, `LOADING`, `OOM`, `NOSCRIPT`, `WRONGTYPE`, `ERR`
    /// and others. It is the first word of the server's message, or the error inside a script if the server wraps that
    /// in `ERR`.
    public var kind: String
    /// The server's message, including its kind.
    public var message: String

    /// Creates an error from the server's message.
    init(_ message: String) {
        let kind = String(message.prefix { $0 != " " })
        self.kind = kind == "ERR" ? Self.kindWithinScript(message) ?? kind : kind
        self.message = message
    }

    /// The server's message.
    public var description: String { message }
}

extension RedisServerError {
    /// Creates an error for the reply to a greeting that contains a login. The server or a proxy may have copied the
    /// login into its reply in any form, so only known sentences are kept.
    init(withoutSecrets message: String) {
        if let sentence = Self.knownSentences.first(where: { message.hasPrefix($0) }) {
            self.init(sentence)
            return
        }
        let kind = RedisServerError(message).kind
        let known = Self.knownKinds.contains(kind) ? kind : "ERR"
        self.init("\(known) (the rest of the server's message is withheld, because it may show the login)")
    }

    private static let knownSentences = [
        "ERR max number of clients reached",
        "ERR max number of clients + cluster connections reached",
        "ERR Client sent AUTH, but no password is set",
        "ERR AUTH <password> called without any password configured for the default user",
        "ERR invalid password",
        "ERR wrong number of arguments for 'auth' command",
        "ERR unknown command",
        "ERR syntax error",
        "ERR DB index is out of range",
        "ERR invalid DB index",
        "ERR SELECT is not allowed in cluster mode",
        "DENIED Redis is running in protected mode",
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down",
        "NOAUTH Authentication required.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "WRONGPASS invalid username-password pair",
    ]

    private static let knownKinds: Set<String> = kindsWithinScript.union(["DENIED", "NOAUTH", "WRONGPASS"])
}

extension RedisServerError {
    /// Returns the kind of an error inside a script if the server reports it in a sentence only.
    ///
    /// Redis 6.2 wraps every error: `ERR Error running script (call to f_…): @user_script:1: -READONLY You can't …`,
    /// with or without the hyphen. Redis 7 passes most errors through, but has a separate sentence for a missing
    /// permission, and 7.2 has another one.
    private static func kindWithinScript(_ message: String) -> String? {
        let refusals = ["The user executing the script can't ", "ACL failure in script: "]
        if refusals.contains(where: { message.contains($0) }) { return "NOPERM" }
        let strays = ["Script attempted to access a non local key", "Script attempted to access keys that do not hash"]
        if strays.contains(where: { message.contains($0) }) { return "CROSSSLOT" }
        guard message.hasPrefix("ERR Error running script") else { return nil }
        return message.dropFirst("ERR ".count).split(separator: " ").lazy
            .map { String($0.first == "-" ? $0.dropFirst() : $0) }
            .first { kindsWithinScript.contains($0) }
    }

    /// The kinds that are recognized inside a script. `NOSCRIPT` is missing, because a script that calls an unknown
    /// script is no reason to send this one again.
    private static let kindsWithinScript: Set<String> = [
        "NOPERM", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK",
        "CROSSSLOT", "LOADING", "BUSY", "WRONGTYPE",
    ]

    /// The kind of the error that stands in for the reply of a node that may have executed its command. No server sends
    /// it.
    static var unknownOutcome: String { "INDETERMINATE" }

    /// The error that callers get.
    var asBusError: EventBusError {
        let (code, advice) = meaning
        return EventBusError(code, advice, underlying: self)
    }

    /// The error that callers get of a refused login whose successor the next attempt may obtain, or `nil` if this is
    /// something else, or if the login does not change.
    func passingRefusal(_ configuration: RedisConfiguration) -> EventBusError? {
        guard configuration.credentialsProvider != nil, kind == "NOAUTH" || kind == "WRONGPASS" else { return nil }
        let advice = "Redis refused the login of the credentialsProvider, which is asked again"
        return EventBusError(.unavailable, advice, underlying: self)
    }

    private var meaning: (EventBusError.Code, String) {
        switch kind {
        case Self.unknownOutcome:
            (.indeterminate, "a node of the Redis cluster did not answer in time; the command may be carried out")
        case "NOAUTH", "WRONGPASS":
            (.authenticationFailed, "Redis refused the login; check user and password")
        case "NOPERM":
            (.accessRefused, "the Redis user lacks a permission; see the deployment guide for those it needs")
        case "READONLY":
            (.unavailable, EventBusError.readOnlyReplica.message)
        case "LOADING":
            (.unavailable, "Redis is loading its data; it will answer later")
        case "OOM":
            (.unavailable, "Redis is out of memory; raise maxmemory or choose an eviction policy")
        case "BUSY", "UNKILLABLE":
            (.unavailable, "Redis is busy with a script")
        case "TRYAGAIN":
            (.unavailable, "the slot of these keys is being moved to another node of the Redis cluster")
        case "MASTERDOWN", "CLUSTERDOWN", "MISCONF", "NOREPLICAS":
            (.unavailable, "Redis cannot take commands at present")
        case "MOVED", "ASK", "CROSSSLOT":
            (
                .unsupported,
                "this Redis is a cluster: connect with redis+cluster://, and use keys of one slot in one command"
            )
        default:
            (.rejected, "Redis refused the command")
        }
    }
}

extension RedisValue {
    /// A Boolean value indicating whether this stands in for the reply to a command that may have been executed.
    var isUnknownOutcome: Bool {
        if case .error(let message) = self {
            RedisServerError(message).kind == RedisServerError.unknownOutcome
        } else {
            false
        }
    }

    /// Returns the value, or throws it if it is an error.
    consuming func orThrow() throws(EventBusError) -> RedisValue {
        if case .error(let message) = self { throw RedisServerError(message).asBusError }
        return self
    }
}

extension EventBusError {
    /// A Boolean value indicating whether the server refused the command because it is out of memory.
    var isOutOfMemory: Bool { (underlying as? RedisServerError)?.kind == "OOM" }
}
