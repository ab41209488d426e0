extension JSONDocument {
    /// The number of members above which names are looked up in a `JSONKeyIndex`, so that time stays linear.
    private static var maximumSearch: Int { 64 }

    /// Chooses how to look up the members of `object`. Returns `true` if they are looked up through an index.
    func prepareMembers(of object: Int, convertingKeys: Bool) throws(JSONSyntaxError) -> Bool {
        if !tokens[object].flags.contains(.examined) { examineMembers(of: object) }
        guard convertingKeys || tokens[object].flags.contains(.indexed) else { return false }
        try makeKeyIndex(of: object, convertingKeys: convertingKeys)
        return true
    }

    private func examineMembers(of object: Int) {
        var flags: JSONToken.Flags = .examined
        var seen: UInt64 = 0
        var isSuspect = false
        var token = object &+ 1
        let end = Int(tokens[object].link)
        if tokens[object].length > Self.maximumSearch { flags.insert(.indexed) }
        while token < end, !flags.contains(.indexed) {
            if tokens[token].flags != .simple { flags.insert(.indexed) }
            let bit = UInt64(1) << UInt64(tokens[token].link & 63)
            if seen & bit != 0 { isSuspect = true }
            seen |= bit
            token = after(token &+ 1)
        }
        if isSuspect, !flags.contains(.indexed), hasEqualNames(object) { flags.insert(.duplicates) }
        tokens[object].flags.formUnion(flags)
    }

    /// Returns a Boolean value indicating whether two names of a small object have equal hashes.
    private func hasEqualNames(_ object: Int) -> Bool {
        let end = Int(tokens[object].link)
        var first = object &+ 1
        while first < end {
            var second = after(first &+ 1)
            let next = second
            while second < end {
                if tokens[first].link == tokens[second].link { return true }
                second = after(second &+ 1)
            }
            first = next
        }
        return false
    }

    /// Returns the token of the value of the member `name` of a small object with simple names, or `nil`.
    @inline(__always)
    func findMember(_ name: String, of object: Int) -> Int? {
        var name = name
        return name.withUTF8 { name in
            let end = Int(tokens[object].link)
            // Types decode their members in the order in which they encode them, so the next member comes first.
            let expected = Int(tokens[object].offset)
            if expected < end, isName(expected, name), !tokens[object].flags.contains(.duplicates) {
                tokens[object].offset = UInt32(truncatingIfNeeded: after(expected &+ 1))
                return expected &+ 1
            }
            return searchMember(name, of: object)
        }
    }

    @inline(__always)
    private func isName(_ token: Int, _ name: UnsafeBufferPointer<UInt8>) -> Bool {
        guard tokens[token].length == name.count else { return false }
        let bytes = bytes(of: tokens[token])
        guard let left = bytes.baseAddress, let right = name.baseAddress else { return true }
        return haveEqualBytes(left, right, name.count)
    }

    @inline(never)
    private func searchMember(_ name: UnsafeBufferPointer<UInt8>, of object: Int) -> Int? {
        let end = Int(tokens[object].link)
        let hash = name.baseAddress.map { jsonKeyHash($0, name.count) } ?? 0
        var token = object &+ 1
        while token < end {
            let next = after(token &+ 1)
            if tokens[token].link == hash, isName(token, name) {
                tokens[object].offset = UInt32(truncatingIfNeeded: next)
                return token &+ 1
            }
            token = next
        }
        // A few characters outside ASCII are equivalent to an ASCII character, such as the kelvin sign.
        guard name.contains(where: { $0 >= 0x80 }) else { return nil }
        let text = String(decoding: name, as: UTF8.self)
        token = object &+ 1
        while token < end {
            if String(decoding: bytes(of: tokens[token]), as: UTF8.self) == text { return token &+ 1 }
            token = after(token &+ 1)
        }
        return nil
    }
}

/// Returns a Boolean value indicating whether `count` bytes at both pointers are equal.
@inline(__always)
func haveEqualBytes(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    let left = UnsafeRawPointer(left)
    let right = UnsafeRawPointer(right)
    // Every load lies within `count` bytes; the last one may overlap the one before.
    guard count >= 8 else {
        var at = 0
        if count >= 4 {
            guard left.loadUnaligned(as: UInt32.self) == right.loadUnaligned(as: UInt32.self) else { return false }
            at = count &- 4
            return (left + at).loadUnaligned(as: UInt32.self) == (right + at).loadUnaligned(as: UInt32.self)
        }
        while at < count {
            guard left.load(fromByteOffset: at, as: UInt8.self) == right.load(fromByteOffset: at, as: UInt8.self) else {
                return false
            }
            at &+= 1
        }
        return true
    }
    var at = 0
    while at &+ 8 <= count {
        guard (left + at).loadUnaligned(as: UInt64.self) == (right + at).loadUnaligned(as: UInt64.self) else {
            return false
        }
        at &+= 8
    }
    at = count &- 8
    return (left + at).loadUnaligned(as: UInt64.self) == (right + at).loadUnaligned(as: UInt64.self)
}
