public import Synchronization

/// A cell with an immutable object that many threads read and few replace. Readers take no lock and do not touch the
/// object's reference count.
///
/// It uses split reference counting, after Anthony Williams, "C++ Concurrency in Action", section 7.2.4. One word
/// contains the number of the current object's slot and the number of entries into that slot. Entering is one atomic
/// addition, which counts the reader in and returns the slot at the same time. Leaving is one atomic subtraction from
/// the slot's own balance. The thread that replaces the object adds the number of entries to that balance. The balance
/// reaches zero once, when the object is retired and its last reader has left, and the thread that causes this releases
/// the object. So readers never wait, writers never wait for readers, and no object outlives its last reader.
///
/// Slot 0 means "no object". If all other slots are held by readers of retired objects, the cell stays empty until the
/// next ``replace(with:)`` finds a free one.
@usableFromInline
@safe
// Safe because everything unsafe in it is private to this file, except for `object(in:)`, which documents it.
struct SnapshotCell<Snapshot: AnyObject & Sendable>: ~Copyable, @unchecked Sendable {
    @usableFromInline
    @unsafe
    struct Slot: ~Copyable {
        @usableFromInline
        var object: Unmanaged<Snapshot>?
        /// The negated number of readers that have left. After retirement, the number of readers that are still inside.
        @usableFromInline
        let balance = Atomic<Int>(0)

        @usableFromInline
        init() {}
    }

    /// The slot in the low six bits and the number of entries in the rest. At a billion entries per second they last
    /// nine years, and every replacement resets them.
    @usableFromInline
    let word = Atomic<UInt64>(0)
    /// A bit mask in which a set bit is a free slot.
    private let freeSlots = Atomic<UInt64>(~1)
    // Safe because a slot's `object` is written by a writer that took the slot out of `freeSlots`, before it is
    // published in `word`, and cleared by the only thread that makes `balance` reach zero. In between it is only read.
    // The memory lives as long as the cell.
    @usableFromInline
    let slots: UnsafeMutablePointer<Slot>

    private static var slotCount: Int { 64 }

    init() {
        unsafe slots = .allocate(capacity: Self.slotCount)
        for index in 0..<Self.slotCount {
            unsafe (slots + index).initialize(to: Slot())
        }
    }

    deinit {
        // Nobody reads a cell that is being destroyed, so only the current object is left.
        let slot = Self.slot(in: word.load(ordering: .acquiring))
        unsafe slots[slot].object?.release()
        unsafe slots.deinitialize(count: Self.slotCount)
        unsafe slots.deallocate()
    }

    @inlinable
    static func slot(in word: UInt64) -> Int { Int(word & 63) }

    /// Pins the current object. Call ``leave(_:)`` afterwards.
    @inlinable
    func enter() -> Int {
        Self.slot(in: word.wrappingAdd(64, ordering: .acquiring).oldValue)
    }

    /// Returns the object in an entered slot, if there is one. It may be used until ``leave(_:)`` without being
    /// retained.
    @inlinable
    @unsafe
    func object(in slot: Int) -> Unmanaged<Snapshot>? {
        // Safe because the caller has entered the slot, so its object stays alive until it leaves.
        unsafe slots[slot].object
    }

    /// Ends the access that ``enter()`` began.
    @inlinable
    func leave(_ slot: Int) {
        if slot == 0 { return }
        // Safe because `slot` was returned by `enter` and is therefore below 64.
        let balance = unsafe slots[slot].balance.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
        if balance == 0 { releaseRetired(slot) }
    }

    /// Replaces the current object with `snapshot`. Writers must exclude each other.
    ///
    /// - Returns: The former object if nobody reads it any more. Release it outside any lock, because that may run
    ///   deinitializers of users.
    func replace(with snapshot: Snapshot?) -> Snapshot? {
        if snapshot == nil && Self.slot(in: word.load(ordering: .relaxed)) == 0 { return nil }
        var newSlot = 0
        if let snapshot, let free = takeFreeSlot() {
            newSlot = free
            // Safe because the slot is free, so no reader can access it before `word` refers to it.
            unsafe slots[free].object = .passRetained(snapshot)
        }
        let former = word.exchange(UInt64(newSlot), ordering: .acquiringAndReleasing)
        let formerSlot = Self.slot(in: former)
        if formerSlot == 0 { return nil }
        let entries = Int(former >> 6)
        // Safe because the number of a slot is below 64.
        let balance = unsafe slots[formerSlot].balance.wrappingAdd(entries, ordering: .acquiringAndReleasing).newValue
        return balance == 0 ? takeRetired(formerSlot) : nil
    }

    @usableFromInline
    @inline(never)
    func releaseRetired(_ slot: Int) {
        _ = takeRetired(slot)
    }

    private func takeRetired(_ slot: Int) -> Snapshot? {
        // Safe because the slot's balance reached zero after it was retired, so no other thread accesses it.
        let object = unsafe slots[slot].object?.takeRetainedValue()
        unsafe slots[slot].object = nil
        freeSlots.bitwiseOr(1 << UInt64(slot), ordering: .releasing)
        return object
    }

    private func takeFreeSlot() -> Int? {
        let free = freeSlots.load(ordering: .acquiring)
        if free == 0 { return nil }
        let slot = free.trailingZeroBitCount
        freeSlots.bitwiseXor(1 << UInt64(slot), ordering: .acquiring)
        return slot
    }
}
