import CHiredis

/// Builds one reply from the pieces in which hiredis reads it.
///
/// Pieces come depth first, so a stack of unfinished arrays is all there is to it. Nothing is reserved for what an
/// array merely announces: a peer that claims a billion elements costs no memory until it sends them.
final class ReplyBuilder {
    private struct Frame {
        let expected: Int
        var elements: [RedisValue] = []
    }

    private let maximumSize: Int
    private var stack: [Frame] = []
    private var size = 0
    private var reply: RedisValue?
    /// Whether a reply exceeded the limit.
    private(set) var isOverLimit = false

    init(maximumSize: Int) {
        self.maximumSize = maximumSize
    }

    /// The finished reply; the builder is ready for the next one.
    func take() -> RedisValue? {
        defer { reset() }
        return reply
    }

    func reset() {
        stack.removeAll(keepingCapacity: true)
        size = 0
        reply = nil
    }

    /// Adds a value that costs `bytes` to hold; false if that is beyond the limit.
    func add(_ value: RedisValue, bytes: Int = 0) -> Bool {
        size += bytes + MemoryLayout<RedisValue>.stride
        guard size <= maximumSize else {
            isOverLimit = true
            return false
        }
        var value = value
        while let depth = stack.indices.last {
            stack[depth].elements.append(value)
            guard stack[depth].elements.count == stack[depth].expected else { return true }
            value = .array(stack.removeLast().elements)
        }
        reply = value
        return true
    }

    func openArray(count: Int) -> Bool {
        guard count > 0 else { return add(.array([])) }
        stack.append(Frame(expected: count))
        return true
    }
}

extension ReplyBuilder {
    /// What hiredis calls for each piece. Allocated once and never changed or freed.
    // Safe: written here only, before anyone can read it.
    nonisolated(unsafe) static let functions: UnsafeMutablePointer<redisReplyObjectFunctions> = {
        let functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
        functions.initialize(
            to: redisReplyObjectFunctions(
                createString: { task, start, length in
                    ReplyBuilder.with(task) { builder, type in
                        let bytes = UnsafeRawBufferPointer(start: start, count: length)
                        switch type {
                        case REDIS_REPLY_ERROR:
                            return builder.add(.error(String(decoding: bytes, as: UTF8.self)), bytes: length)
                        case REDIS_REPLY_STATUS:
                            return builder.add(.status(String(decoding: bytes, as: UTF8.self)), bytes: length)
                        default:
                            return builder.add(.bulk([UInt8](bytes)), bytes: length)
                        }
                    }
                },
                createArray: { task, count in
                    ReplyBuilder.with(task) { builder, _ in builder.openArray(count: Int(count)) }
                },
                createInteger: { task, number in
                    ReplyBuilder.with(task) { builder, _ in builder.add(.integer(Int64(number))) }
                },
                createNil: { task in
                    ReplyBuilder.with(task) { builder, _ in builder.add(.null) }
                },
                freeObject: { _ in }
            )
        )
        return functions
    }()

    /// Calls `body` with the builder that a reader was made with. hiredis wants an object in return and only passes it
    /// around, so it gets the builder's own address; nothing says that there is no memory.
    private static func with(
        _ task: UnsafePointer<redisReadTask>?,
        _ body: (ReplyBuilder, Int32) -> Bool
    ) -> UnsafeMutableRawPointer? {
        guard let task, let address = task.pointee.privdata else { return nil }
        // Safe: the reader that owns the builder outlives every call of hiredis on it.
        let builder = Unmanaged<ReplyBuilder>.fromOpaque(address).takeUnretainedValue()
        return body(builder, task.pointee.type) ? address : nil
    }
}
