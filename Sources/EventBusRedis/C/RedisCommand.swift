/// A command in its wire format: an array of its name and its arguments, each of which may contain any bytes.
///
/// The output equals that of hiredis' `redisFormatCommandArgv`. The formatters of hiredis use printf, or two buffers
/// and an additional copy, which took a sixth of the CPU time of a client that many tasks share.
struct RedisCommand: Sendable {
    var wire: [UInt8]
    /// The name in metrics: that of the command, or that of the script that it runs.
    let label: String
    /// A Boolean value indicating whether `ASKING` precedes it, because a node of a cluster redirected it to a node that
    /// does not serve its slot yet.
    var isAsking = false
    /// A Boolean value indicating whether it waits for the data of other commands while that moves, for at most the timeout
    /// of a command of the client if its own is shorter.
    var waitsForOthers = false
    /// A brief closure that is called with the reply on the connection's thread, before the waiting task is resumed.
    var onReply: (@Sendable (RedisValue) -> Void)?

    init(_ name: String, _ arguments: [RedisArgument] = [], label: String? = nil) {
        self.label = label ?? name
        wire = []
        wire.reserveCapacity(
            arguments.reduce(Self.overhead + name.utf8.count) { $0 + Self.overhead + $1.maximumLength }
        )
        wire.appendLine("*", 1 + arguments.count)
        wire.appendBulk(name.utf8)
        for argument in arguments {
            switch argument {
            case .bytes(let bytes): wire.appendBulk(bytes)
            case .text(let text): wire.appendBulk(text.utf8)
            case .integer(let number): wire.appendBulk(String(number).utf8)
            }
        }
    }

    /// An upper bound of the framing around one argument, in most commands.
    private static var overhead: Int { 16 }
}

extension [UInt8] {
    fileprivate mutating func appendLine(_ marker: Unicode.Scalar, _ number: Int) {
        append(UInt8(ascii: marker))
        if number < 10 {
            append(UInt8(ascii: "0") + UInt8(number))
        } else {
            self += String(number).utf8
        }
        endLine()
    }

    fileprivate mutating func appendBulk(_ bytes: some Collection<UInt8>) {
        appendLine("$", bytes.count)
        self += bytes
        endLine()
    }

    private mutating func endLine() {
        append(UInt8(ascii: "\r"))
        append(UInt8(ascii: "\n"))
    }
}
