/// A hash table of the members of a large object by name.
///
/// The hash is seeded, so that no choice of names can degrade it.
final class JSONMemberTable {
    private var slots: [Int32]
    private var count = 0

    init() {
        slots = [Int32](repeating: -1, count: 256)
    }

    /// Returns the member that is stored for the name in `bytes`, or `nil` if the name is new.
    func find(_ bytes: UnsafeBufferPointer<UInt8>, isEqual: (Int) -> Bool) -> Int? {
        var slot = self.slot(of: bytes)
        while slots[slot] >= 0 {
            if isEqual(Int(slots[slot])) { return Int(slots[slot]) }
            slot = (slot + 1) & (slots.count - 1)
        }
        return nil
    }

    /// Stores `member` for the name in `bytes`, replacing an earlier member of this name.
    func insert(
        _ member: Int,
        _ bytes: UnsafeBufferPointer<UInt8>,
        isEqual: (Int) -> Bool,
        bytesOf: (Int) -> UnsafeBufferPointer<UInt8>
    ) {
        if (count + 1) * 2 > slots.count {
            let old = slots
            slots = [Int32](repeating: -1, count: old.count * 2)
            for present in old where present >= 0 {
                var slot = self.slot(of: bytesOf(Int(present)))
                while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
                slots[slot] = present
            }
        }
        var slot = self.slot(of: bytes)
        while slots[slot] >= 0, !isEqual(Int(slots[slot])) { slot = (slot + 1) & (slots.count - 1) }
        if slots[slot] < 0 { count += 1 }
        slots[slot] = Int32(truncatingIfNeeded: member)
    }

    private func slot(of bytes: UnsafeBufferPointer<UInt8>) -> Int {
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
        return hasher.finalize() & (slots.count - 1)
    }
}
