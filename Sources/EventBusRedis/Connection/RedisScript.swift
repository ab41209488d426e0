import EventBus

/// A Lua script, and the digest by which a server knows it.
struct RedisScript: Sendable {
    let source: String
    /// The name in metrics.
    let name: String
    /// The SHA-1 of the source in lowercase hexadecimal digits.
    let digest: String

    init(_ source: String, name: String = "EVAL") {
        self.source = source
        self.name = name
        self.digest = SHA1.hexadecimal(Array(source.utf8))
    }

    /// Returns the command that calls the script by its digest. It fails if the server does not know the script.
    func call(_ keys: [String], _ arguments: [RedisArgument]) -> RedisCommand {
        RedisCommand("EVALSHA", [.text(digest)] + Self.operands(keys, arguments), label: name)
    }

    /// Returns the command that calls the script by its source, after which the server knows its digest.
    func load(_ keys: [String], _ arguments: [RedisArgument]) -> RedisCommand {
        RedisCommand("EVAL", [.text(source)] + Self.operands(keys, arguments), label: name)
    }

    private static func operands(_ keys: [String], _ arguments: [RedisArgument]) -> [RedisArgument] {
        [.integer(Int64(keys.count))] + keys.map { .text($0) } + arguments
    }
}
