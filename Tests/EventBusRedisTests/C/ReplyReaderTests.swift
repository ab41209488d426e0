import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct ReplyReaderTests {
    /// Replies of every kind in one stream, and their values.
    private let stream = Array(
        "+OK\r\n:-42\r\n$5\r\na\r\nb\0\r\n$-1\r\n*-1\r\n*0\r\n-ERR no\r\n$0\r\n\r\n*3\r\n*2\r\n:1\r\n*0\r\n$1\r\nx\r\n-NO\r\n"
            .utf8
    )
    private let replies: [RedisValue] = [
        .status("OK"), .integer(-42), .bulk(Array("a\r\nb\0".utf8)), .null, .null, .array([]), .error("ERR no"),
        .bulk([]), .array([.array([.integer(1), .array([])]), .bulk([120]), .error("NO")]),
    ]

    private func read(_ pieces: [ArraySlice<UInt8>], maximumSize: Int = 1 << 20) throws -> [RedisValue] {
        let reader = try ReplyReader(maximumSize: maximumSize)
        var values: [RedisValue] = []
        for piece in pieces {
            try piece.withUnsafeBytes { try reader.feed($0) }
            while let value = try reader.next() { values.append(value) }
        }
        return values
    }

    @Test func `replies are read whole`() throws {
        #expect(try read([stream[...]]) == replies)
    }

    @Test func `replies that are cut at any byte are the same`() throws {
        for cut in 0...stream.count {
            #expect(try read([stream[..<cut], stream[cut...]]) == replies, "cut at \(cut)")
        }
        #expect(try read(stream.indices.map { stream[$0...$0] }) == replies)
    }

    @Test func `it is known whether more than a byte of the next reply has arrived`() throws {
        // Also after a long reply, whose bytes are removed from the buffer.
        let stream = Array("$2000\r\n\(String(repeating: "x", count: 2000))\r\n".utf8) + stream
        let reader = try ReplyReader(maximumSize: 1 << 20)
        var length = 0
        for (index, byte) in stream.enumerated() {
            try [byte].withUnsafeBytes { try reader.feed($0) }
            length += 1
            while try reader.next() != nil { length = 0 }
            #expect(reader.isInsideReply == (length > 1), "after byte \(index)")
        }
    }

    @Test func `an unfinished reply is no reply`() throws {
        for end in 0..<stream.count {
            let values = try read([stream[..<end]])
            #expect(values.count < replies.count)
            #expect(values == Array(replies.prefix(values.count)))
        }
    }

    @Test(arguments: [
        "hello\r\n", "\0\0\0\0", "*3\r\n?x\r\n", ":not a number\r\n", "$abc\r\n", "*9999999999\r\n", "$-7\r\n",
        String(repeating: "*1\r\n", count: 9),
    ])
    func `what is not the protocol is an error`(text: String) {
        #expect {
            try read([Array(text.utf8)[...]])
        } throws: { error in
            (error as? EventBusError)?.code == .unavailable
        }
    }

    @Test func `a reply over the limit is refused before it is complete`() throws {
        for text in [
            "$100000\r\n" + String(repeating: "x", count: 20_000),
            "*1000000\r\n" + String(repeating: ":1\r\n", count: 20_000),
            "+" + String(repeating: "x", count: 20_000),
        ] {
            #expect {
                try read(Array(text.utf8).chunks(of: 4096), maximumSize: 10_000)
            } throws: { error in
                (error as? EventBusError)?.code == .tooLarge
            }
        }
    }

    // MARK: storage for replies

    private func feed(_ reader: ReplyReader, _ text: String) throws {
        try Array(text.utf8).withUnsafeBytes { try reader.feed($0) }
    }

    private func storage() -> (bytes: [UInt8], address: UInt) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64)
        bytes += "command".utf8
        return (bytes, address(bytes))
    }

    private func address(_ bytes: [UInt8]?) -> UInt {
        bytes?.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) } ?? 0
    }

    @Test func `a reply is stored where it was offered room, also when it comes in pieces`() throws {
        let reader = try ReplyReader(maximumSize: 1 << 20)
        try feed(reader, "$5\r\nwh")
        var (bytes, address) = storage()
        #expect(try reader.next(in: consume bytes) == nil)
        try feed(reader, "ole\r\n")
        let reply = try reader.next(in: [])
        #expect(reply == .bulk(Array("whole".utf8)))
        #expect(self.address(reply?.bytes) == address)

        try feed(reader, "*2\r\n$1\r\na\r\n$1\r\nb\r\n")
        (bytes, address) = storage()
        let array = try reader.next(in: consume bytes)?.array
        #expect(array == [.bulk([97]), .bulk([98])])
        #expect(self.address(array?[0].bytes) == address)
    }

    @Test func `a reply that has no room where it was offered some, or none of its own, is whole as well`() throws {
        let reader = try ReplyReader(maximumSize: 1 << 20)
        let long = String(repeating: "x", count: 500)
        let shared = storage().bytes
        try feed(reader, "$500\r\n\(long)\r\n$0\r\n\r\n+OK\r\n$3\r\nnew\r\n")
        #expect(try reader.next(in: shared) == .bulk(Array(long.utf8)))
        #expect(try reader.next(in: shared) == .bulk([]))
        #expect(try reader.next(in: shared) == .status("OK"))
        #expect(try reader.next(in: shared) == .bulk(Array("new".utf8)))
        #expect(shared == Array("command".utf8))
    }

    @Test func `an array that only announces its size reserves no memory`() throws {
        let nested = String(repeating: "*2147483647\r\n", count: 7)
        #expect(try read([Array(nested.utf8)[...]], maximumSize: 1 << 20).isEmpty)
    }

    @Test func `random bytes never trap`() throws {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("*$+-:\r\n0123456789x".utf8)
        for _ in 0..<2000 {
            let bytes = (0..<60).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
            _ = try? read(bytes.chunks(of: 7), maximumSize: 4096)
        }
    }
}

extension Array {
    func chunks(of size: Int) -> [ArraySlice<Element>] {
        stride(from: 0, to: count, by: size).map { self[$0..<Swift.min($0 + size, count)] }
    }
}
