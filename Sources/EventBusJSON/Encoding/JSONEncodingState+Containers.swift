extension JSONEncodingState {
    /// Opens or continues the container of frame `frame`. Returns the number for its container, which is `frame`, or
    /// zero after a failure.
    func open(_ kind: JSONEncodingFrame.Kind, in frame: UInt32) -> UInt32 {
        guard core.pointee.frame.id == frame else {
            return fail(misuse("The encoder was used after encode(to:) had returned, or from within another value."))
        }
        switch core.pointee.frame.kind {
        case kind:
            return frame
        case .empty:
            guard core.pointee.frame.depth < JSONScanner.maximumDepth else { return fail(tooDeep()) }
            core.pointee.reserve(1)
            core.pointee.put(kind == .object ? UInt8(ascii: "{") : UInt8(ascii: "["))
            core.pointee.frame.kind = kind
            if kind == .array, let type = core.pointee.frame.type as? any JSONUnordered.Type {
                core.pointee.frame.unit = type.unitCount
            }
            return frame
        case .single:
            return reopen(kind) ? frame : fail(misuse("A value was already encoded that is no such container."))
        case .array, .object:
            return fail(misuse("A container of another kind was already encoded."))
        }
    }

    private func fail(_ error: any Error) -> UInt32 {
        if core.pointee.failure == nil { core.pointee.failure = error }
        return 0
    }

    /// Continues a container that was encoded as a single value at the end of the text.
    private func reopen(_ kind: JSONEncodingFrame.Kind) -> Bool {
        let start = core.pointee.frame.start
        let whole = UnsafeBufferPointer(rebasing: text[start...])
        guard whole.first == (kind == .object ? UInt8(ascii: "{") : UInt8(ascii: "[")),
            let (tokens, _) = try? JSONScanner.scan(whole)
        else { return false }
        defer { tokens.deallocate() }
        core.pointee.frame.kind = kind
        core.pointee.count -= 1
        guard kind == .object else {
            core.pointee.frame.count = Int(tokens[0].length)
            return true
        }
        var token = 1
        while token < Int(tokens[0].link) {
            recordMember(start: start + Int(tokens[token].offset) - 1, nameLength: Int(tokens[token].length))
            token += 1
            token = tokens[token].isContainer ? Int(tokens[token].link) : token + 1
        }
        return true
    }

    // MARK: - Members

    /// Writes the name of a member of frame `frame` and its colon, and returns the offset at which the member starts.
    @inline(__always)
    func beginMember(_ name: String, in frame: UInt32) throws -> Int {
        guard core.pointee.frame.id == frame else { throw closed() }
        core.pointee.reserve(1)
        if core.pointee.frame.count > 0 { core.pointee.put(UInt8(ascii: ",")) }
        let start = core.pointee.count
        core.pointee.write(string: name)
        core.pointee.reserve(1)
        core.pointee.put(UInt8(ascii: ":"))
        return start
    }

    /// Records a member whose value has been written. `valueStart` is the offset after its colon.
    @inline(__always)
    func endMember(_ start: Int, valueStart: Int, child: Int = -1) {
        recordMember(start: start, nameLength: valueStart &- start &- 3, child: child)
    }

    @inline(__always)
    private func recordMember(start: Int, nameLength: Int, child: Int = -1) {
        // The name is between two quotation marks in the text.
        let hash = jsonKeyHash(core.pointee.bytes + (start &+ 1), nameLength)
        let member = JSONEncodedMember(
            start: start,
            nameLength: Int32(truncatingIfNeeded: nameLength),
            hash: hash,
            child: Int32(truncatingIfNeeded: child)
        )
        let bit = UInt64(1) << UInt64(hash & 63)
        // The names of a sorted object are compared when it is sorted.
        if core.pointee.frame.seen & bit != 0, !core.pointee.frame.isSorted { replaceEarlier(member) }
        core.pointee.frame.seen |= bit
        core.pointee.append(member)
        core.pointee.frame.count &+= 1
        if core.pointee.frame.hasTable, let table { insert(core.pointee.memberCount - 1, into: table) }
    }

    /// Marks an earlier member of the same name as replaced.
    @inline(never)
    private func replaceEarlier(_ member: JSONEncodedMember) {
        guard let earlier = findMember(core.pointee.name(of: member), hash: member.hash) else { return }
        core.pointee.members[earlier].isReplaced = true
        core.pointee.frame.hasReplaced = true
    }

    /// Returns the last member of the current frame whose written name is `name`.
    func findMember(_ name: UnsafeBufferPointer<UInt8>, hash: UInt32) -> Int? {
        let first = core.pointee.frame.firstMember
        if core.pointee.memberCount - first > 64, !core.pointee.frame.hasTable {
            let table = JSONMemberTable()
            core.pointee.tables[core.pointee.frame.id] = table
            core.pointee.frame.hasTable = true
            for index in first..<core.pointee.memberCount { insert(index, into: table) }
        }
        if let table { return table.find(name) { isMember($0, named: name) } }
        return (first..<core.pointee.memberCount).last {
            core.pointee.members[$0].hash == hash && isMember($0, named: name)
        }
    }

    private var table: JSONMemberTable? { core.pointee.tables[core.pointee.frame.id] }

    private func insert(_ index: Int, into table: JSONMemberTable) {
        let name = core.pointee.name(of: core.pointee.members[index])
        table.insert(index, name, isEqual: { isMember($0, named: name) }) {
            core.pointee.name(of: core.pointee.members[$0])
        }
    }

    private func isMember(_ index: Int, named name: UnsafeBufferPointer<UInt8>) -> Bool {
        core.pointee.name(of: core.pointee.members[index]).elementsEqual(name)
    }

    // MARK: - Elements

    /// Writes the comma before an element of frame `frame`, and returns the offset at which the element starts.
    @inline(__always)
    func beginElement(in frame: UInt32) throws -> Int {
        guard core.pointee.frame.id == frame else { throw closed() }
        core.pointee.reserve(1)
        if core.pointee.frame.count > 0 { core.pointee.put(UInt8(ascii: ",")) }
        return core.pointee.count
    }

    /// Counts an element that has been written.
    @inline(__always)
    func endElement(_ start: Int) {
        core.pointee.frame.count &+= 1
        if core.pointee.frame.unit > 0 {
            core.pointee.append(JSONEncodedMember(start: start, nameLength: 0, hash: 0))
        }
    }

    @inline(never)
    func closed() -> any Error {
        misuse("The container was used after encode(to:) had returned, or while another value was being encoded.")
    }
}

/// A collection that encodes its elements in an order that differs between processes.
private protocol JSONUnordered {
    /// The number of elements of the encoded array that belong together.
    static var unitCount: UInt8 { get }
}

extension Set: JSONUnordered {
    fileprivate static var unitCount: UInt8 { 1 }
}

extension Dictionary: JSONUnordered {
    fileprivate static var unitCount: UInt8 { 2 }
}
