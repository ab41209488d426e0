import CHiredis

/// A builder that assembles one reply from the pieces that hiredis parses.
///
/// Pieces arrive depth first, so a stack of unfinished arrays is sufficient. No memory is reserved for the announced
/// size of an array: a peer that claims a billion elements costs no memory until it sends them.
struct ReplyBuilder {
    private struct Frame {
        let expected: Int
        var elements: [RedisValue] = []
    }

    private let maximumSize: Int
    private var stack: [Frame] = []
    private var size = 0
    private var reply: RedisValue?
    /// An array whose storage may be reused for the bytes of a reply.
    private var storage: [UInt8] = []
    /// A Boolean value indicating whether a reply exceeded the limit.
    private(set) var isOverLimit = false

    /// The maximum depth of arrays, because values that contain each other are released recursively. Later versions of
    /// hiredis do not limit it.
    private static var maximumDepth: Int { 8 }

    init(maximumSize: Int) {
        self.maximumSize = maximumSize
    }

    /// Offers an array whose storage may be reused for the bytes of a reply.
    mutating func offer(_ storage: consuming [UInt8]) {
        if Self.offers.contains(storage.capacity) { self.storage = consume storage }
    }

    /// The sizes in bytes of storage worth keeping. Empty storage is useless, and storage over 256 bytes wastes memory.
    private static var offers: ClosedRange<Int> { 1...256 }

    mutating func addBytes(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count <= storage.capacity else { return add(.bulk([UInt8](bytes)), bytes: bytes.count) }
        var stored: [UInt8] = []
        swap(&stored, &storage)
        stored.removeAll(keepingCapacity: true)
        stored.append(contentsOf: bytes)
        return add(.bulk(stored), bytes: bytes.count)
    }

    /// Returns the finished reply and prepares the builder for the next one.
    mutating func take() -> RedisValue? {
        size = 0
        return reply.take()
    }

    /// Adds a value that takes `bytes` of memory. Returns `false` if that exceeds the limit.
    mutating func add(_ value: consuming RedisValue, bytes: Int = 0) -> Bool {
        size += bytes + MemoryLayout<RedisValue>.stride
        guard size <= maximumSize else {
            isOverLimit = true
            return false
        }
        while let depth = stack.indices.last {
            stack[depth].elements.append(value)
            guard stack[depth].elements.count == stack[depth].expected else { return true }
            value = .array(stack.removeLast().elements)
        }
        reply = value
        return true
    }

    mutating func openArray(count: Int) -> Bool {
        guard count > 0 else { return add(.array([])) }
        guard stack.count < Self.maximumDepth else { return false }
        stack.append(Frame(expected: count))
        return true
    }
}

extension ReplyBuilder {
    /// The functions that hiredis calls for each piece of a reply. They are allocated once and never changed or freed.
    // Safe because it is written only here, before anyone can read it.
    nonisolated(unsafe) static let functions: UnsafeMutablePointer<redisReplyObjectFunctions> = {
        let functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
        // Set member by member, because later versions of hiredis have more members, for types of the newer protocol
        // that no server sends unasked. A reply that contains such a type stays unfinished here.
        var table = redisReplyObjectFunctions()
        table.createString = { task, start, length in
            ReplyBuilder.with(task) { builder, type in
                let bytes = UnsafeRawBufferPointer(start: start, count: length)
                switch type {
                case REDIS_REPLY_ERROR:
                    return builder.add(.error(String(decoding: bytes, as: UTF8.self)), bytes: length)
                case REDIS_REPLY_STATUS:
                    return builder.add(.status(String(decoding: bytes, as: UTF8.self)), bytes: length)
                default:
                    return builder.addBytes(bytes)
                }
            }
        }
        table.createArray = { task, count in
            ReplyBuilder.with(task) { builder, _ in builder.openArray(count: Int(clamping: count)) }
        }
        table.createInteger = { task, number in
            ReplyBuilder.with(task) { builder, _ in builder.add(.integer(Int64(number))) }
        }
        table.createNil = { task in
            ReplyBuilder.with(task) { builder, _ in builder.add(.null) }
        }
        table.freeObject = { _ in }
        functions.initialize(to: table)
        return functions
    }()

    /// Calls `body` with the builder that the reader was created with.
    ///
    /// hiredis expects an object in return and only passes it around, so it gets the builder's own address. `nil` means
    /// that there is no memory.
    private static func with(
        _ task: UnsafePointer<redisReadTask>?,
        _ body: (inout ReplyBuilder, Int32) -> Bool
    ) -> UnsafeMutableRawPointer? {
        guard let task, let address = task.pointee.privdata else { return nil }
        // Safe because the reader that owns the builder outlives every call of hiredis on it, and does not touch it
        // meanwhile.
        let builder = address.assumingMemoryBound(to: ReplyBuilder.self)
        return body(&builder.pointee, task.pointee.type) ? address : nil
    }
}
