import EventBus

/// The address of a cluster's node.
struct NodeAddress: Hashable, Sendable, CustomStringConvertible {
    let host: String
    let port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Reads `HOST:PORT`, where `HOST` may be an IPv6 address without brackets. If the node does not know its own host,
    /// `fallback` is used.
    init?(_ text: Substring, fallback: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[colon...].dropFirst()), 1...65535 ~= port else {
            return nil
        }
        let host = text[..<colon]
        self.init(host: host.isEmpty || host == "?" ? fallback : String(host), port: port)
    }

    /// The same text as that of a ``SocketAddress``.
    var description: String { "\(host):\(port)" }
}

/// The primaries of a cluster and the slots that each of them serves.
struct SlotMap: Hashable, Sendable {
    static let slotCount = 16_384

    /// The primaries that serve slots, in the order of their first slots.
    private(set) var primaries: [NodeAddress] = []
    /// One more than the index of each slot's primary, or zero if no node serves the slot.
    private var owners = [UInt16](repeating: 0, count: slotCount)

    /// Reads the reply to `CLUSTER SLOTS`. Returns `nil` if it is malformed.
    ///
    /// - Parameter host: The host that was asked, for nodes that do not know their own host.
    init?(_ reply: RedisValue, askedAt host: String) {
        guard let ranges = reply.array else { return nil }
        var indices: [NodeAddress: UInt16] = [:]
        for range in ranges {
            guard let parts = range.array, parts.count >= 3, let first = parts[0].integer, let last = parts[1].integer,
                0 <= first, first <= last, last < Self.slotCount, let node = parts[2].array, node.count >= 2,
                let port = node[1].integer, 1...65535 ~= port
            else { return nil }
            let name = node[0].text ?? ""
            let address = NodeAddress(host: name.isEmpty || name == "?" ? host : name, port: Int(port))
            let owner = indices[address] ?? add(address)
            indices[address] = owner
            for slot in Int(first)...Int(last) { owners[slot] = owner }
        }
    }

    /// The number of slots that no node serves.
    var unservedCount: Int { owners.count { $0 == 0 } }

    /// Returns the primary that serves a slot.
    subscript(slot: Int) -> NodeAddress? {
        let owner = owners[slot]
        return owner == 0 ? nil : primaries[Int(owner) - 1]
    }

    /// Records that a node serves a slot. Returns `false` if that was known.
    mutating func move(_ slot: Int, to address: NodeAddress) -> Bool {
        guard self[slot] != address else { return false }
        owners[slot] = primaries.firstIndex(of: address).map { UInt16($0 + 1) } ?? add(address)
        return true
    }

    /// Adds a primary, and returns one more than its index. A cluster has at most 16,384 primaries with slots.
    private mutating func add(_ address: NodeAddress) -> UInt16 {
        primaries.append(address)
        return UInt16(clamping: primaries.count)
    }
}

/// The slots of keys.
enum HashSlot {
    /// Returns the slot of a key: that of its hash tag if it has one, which is the text between the first opening brace
    /// and the next closing one.
    static func of(_ key: some Collection<UInt8>) -> Int {
        guard let open = key.firstIndex(of: UInt8(ascii: "{")) else { return checksum(key) % SlotMap.slotCount }
        let rest = key[key.index(after: open)...]
        guard let close = rest.firstIndex(of: UInt8(ascii: "}")), close != rest.startIndex else {
            return checksum(key) % SlotMap.slotCount
        }
        return checksum(rest[..<close]) % SlotMap.slotCount
    }

    /// CRC-16/XMODEM.
    private static func checksum(_ bytes: some Sequence<UInt8>) -> Int {
        var sum: UInt16 = 0
        for byte in bytes { sum = sum << 8 ^ table[Int(UInt8(truncatingIfNeeded: sum >> 8) ^ byte)] }
        return Int(sum)
    }

    private static let table: [UInt16] = (0..<256).map { index in
        var sum = UInt16(index) << 8
        for _ in 0..<8 { sum = sum & 0x8000 == 0 ? sum << 1 : sum << 1 ^ 0x1021 }
        return sum
    }
}

extension RedisCommand {
    /// The slot of its first key, or `nil` if it has none.
    ///
    /// For a command other than a script, that is the first argument. If that is no key, the command reaches another
    /// node, which names the right one.
    var slot: Int? {
        var reader = WireReader(rest: wire[...])
        guard let name = reader.next(), let first = reader.next() else { return nil }
        guard name.elementsEqual("EVALSHA".utf8) || name.elementsEqual("EVAL".utf8) else { return HashSlot.of(first) }
        guard let count = reader.next(), !count.elementsEqual("0".utf8), let key = reader.next() else { return nil }
        return HashSlot.of(key)
    }

    /// A reader of the arguments of a command in its wire format.
    private struct WireReader {
        var rest: ArraySlice<UInt8>

        init(rest: ArraySlice<UInt8>) {
            self.rest = rest
            _ = line()
        }

        mutating func next() -> ArraySlice<UInt8>? {
            guard let length = line().flatMap({ Int(String(decoding: $0.dropFirst(), as: UTF8.self)) }),
                length >= 0, length <= rest.count
            else { return nil }
            defer { rest = rest.dropFirst(length + 2) }
            return rest.prefix(length)
        }

        private mutating func line() -> ArraySlice<UInt8>? {
            guard let end = rest.firstIndex(of: UInt8(ascii: "\r")) else { return nil }
            defer { rest = rest[end...].dropFirst(2) }
            return rest[..<end]
        }
    }
}
