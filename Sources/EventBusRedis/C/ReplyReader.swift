import CHiredis
import EventBus

/// A parser that reads replies from bytes as they arrive. After a failure, the reader and its connection are unusable.
final class ReplyReader {
    /// The size of the pieces to feed. hiredis is fastest with this size and far slower with larger pieces, because it
    /// moves the remaining bytes.
    static let chunkSize = 16 * 1024

    private let reader: UnsafeMutablePointer<redisReader>
    private let builder: UnsafeMutablePointer<ReplyBuilder>
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunkSize, alignment: 16)
    private let maximumSize: Int

    /// Creates a reader that refuses a reply of more than `maximumSize` bytes.
    init(maximumSize: Int) throws(EventBusError) {
        guard let reader = redisReaderCreateWithFunctions(ReplyBuilder.functions) else {
            throw EventBusError(.unavailable, "no memory for a reader of Redis replies")
        }
        self.reader = reader
        self.maximumSize = maximumSize
        self.builder = .allocate(capacity: 1)
        builder.initialize(to: ReplyBuilder(maximumSize: maximumSize))
        // Twice the free space that one piece leaves. With the default of half of that, the buffer would be freed and
        // allocated again for each piece.
        reader.pointee.maxbuf = 4 * Self.chunkSize
        reader.pointee.privdata = UnsafeMutableRawPointer(builder)
    }

    deinit {
        redisReaderFree(reader)
        builder.deinitialize(count: 1)
        builder.deallocate()
        buffer.deallocate()
    }

    /// Adds up to ``chunkSize`` bytes that `read` stores in a buffer.
    func feed(
        from read: (UnsafeMutableRawBufferPointer) -> RedisSocket.Transfer
    ) throws(EventBusError) -> RedisSocket.Transfer {
        let transfer = read(buffer)
        if case .moved(let count) = transfer { try feed(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
        return transfer
    }

    /// Adds received bytes. Pieces of up to ``chunkSize`` bytes are the fastest.
    func feed(_ bytes: UnsafeRawBufferPointer) throws(EventBusError) {
        guard !bytes.isEmpty else { return }
        let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        guard redisReaderFeed(reader, start, bytes.count) == REDIS_OK else { throw failure() }
    }

    /// Returns the next complete reply, or `nil` if more bytes have to arrive first.
    ///
    /// - Parameter storage: An array whose storage may be reused for the reply's bytes.
    func next(in storage: consuming [UInt8] = []) throws(EventBusError) -> RedisValue? {
        builder.pointee.offer(consume storage)
        var object: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &object) == REDIS_OK else { throw failure() }
        if object != nil {
            guard let reply = builder.pointee.take() else {
                throw EventBusError(.unavailable, "Redis sent a type of RESP3, a protocol that was not asked for")
            }
            return reply
        }
        // The buffer contains one unfinished text, because the reader has consumed everything before it.
        guard reader.pointee.len - reader.pointee.pos <= maximumSize else { throw tooLarge }
        return nil
    }

    /// A Boolean value indicating whether more than the first byte of the next reply has arrived.
    var isInsideReply: Bool {
        // The index is that of an element of an array. It is 0 before a reply as well.
        reader.pointee.ridx > 0 || reader.pointee.len > reader.pointee.pos
    }

    private var tooLarge: EventBusError {
        EventBusError(.tooLarge, "Redis sent a reply of more than \(maximumSize) bytes; raise maximumReplySize")
    }

    private func failure() -> EventBusError {
        if builder.pointee.isOverLimit { return tooLarge }
        let reason = withUnsafeBytes(of: reader.pointee.errstr) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return EventBusError(.unavailable, "the peer does not speak the Redis protocol: \(reason.quotedForError)")
    }
}
