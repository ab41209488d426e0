extension JSONEncodingState {
    /// Sorts the members of the current frame and drops those that were replaced.
    func arrangeMembers() {
        let frame = core.pointee.frame
        let members = UnsafeBufferPointer(
            start: core.pointee.members + frame.firstMember,
            count: core.pointee.memberCount - frame.firstMember
        )
        guard let first = members.first else { return }
        let end = core.pointee.count
        var units = Self.units(of: members, perUnit: max(1, Int(frame.unit)), end: end)
        if frame.unit > 0 {
            units.sort { left, right in
                text[left.start..<left.end].lexicographicallyPrecedes(text[right.start..<right.end])
            }
        } else if frame.isSorted {
            sortByName(&units, members)
        }
        units.removeAll { $0.isReplaced }
        // The text of all members is first written again after itself, and then moved to its place.
        core.pointee.reserve(end - first.start + 1)
        let bytes = core.pointee.bytes
        var target = end
        for (index, unit) in units.enumerated() {
            if index > 0 {
                bytes[target] = UInt8(ascii: ",")
                target += 1
            }
            (bytes + target).update(from: bytes + unit.start, count: unit.end - unit.start)
            target += unit.end - unit.start
        }
        (bytes + first.start).update(from: bytes + end, count: target - end)
        core.pointee.count = first.start + target - end
    }

    private struct Unit {
        var start: Int
        var end: Int
        /// The index of its member.
        var member: Int
        var isReplaced: Bool
    }

    private static func units(
        of members: UnsafeBufferPointer<JSONEncodedMember>,
        perUnit: Int,
        end: Int
    ) -> [Unit] {
        stride(from: 0, to: members.count, by: perUnit).map { index in
            let next = index + perUnit
            return Unit(
                start: members[index].start,
                // Without the comma before the next member.
                end: next < members.count ? members[next].start - 1 : end,
                member: index,
                isReplaced: members[index].isReplaced
            )
        }
    }

    private func sortByName(_ units: inout [Unit], _ members: UnsafeBufferPointer<JSONEncodedMember>) {
        func name(_ unit: Unit) -> UnsafeBufferPointer<UInt8> { core.pointee.name(of: members[unit.member]) }
        let hasEscapes = units.contains { name($0).contains(UInt8(ascii: "\\")) }
        if hasEscapes {
            let names = units.map { Self.unescaped(name($0)) }
            units.sort { left, right in
                names[left.member].lexicographicallyPrecedes(names[right.member])
                    || (names[left.member] == names[right.member] && left.member < right.member)
            }
        } else {
            units.sort { left, right in
                let order = Self.compare(name(left), name(right))
                return order == 0 ? left.member < right.member : order < 0
            }
        }
        // If names are equal, the last member counts.
        for index in units.indices.dropFirst() where Self.compare(name(units[index - 1]), name(units[index])) == 0 {
            units[index - 1].isReplaced = true
        }
    }

    private static func compare(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) -> Int {
        let common = min(left.count, right.count)
        for index in 0..<common where left[index] != right[index] { return left[index] < right[index] ? -1 : 1 }
        return left.count - right.count
    }

    /// Returns the bytes of a name without its escapes. The text was written here, so every escape is valid.
    private static func unescaped(_ name: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        let string = try? JSONStringReader.string(name, flags: .nonASCII, at: 0)
        return string.map { Array($0.utf8) } ?? Array(name)
    }
}
