public import Synchronization

/// Holds an immutable object that many threads read and few replace; readers take no lock and touch no reference
/// count of the object.
///
/// Split reference counting, after Anthony Williams, "C++ Concurrency in Action", section 7.2.4. One word holds the
/// number of the slot in which the present object lies, and how often that slot was entered. Entering is one atomic
/// addition, which counts the reader in and tells the slot at the same moment; leaving is one atomic subtraction from
/// the slot's own balance. Whoever replaces the object adds the number of entries to that balance. It reaches zero
/// once, when the object is retired and its last reader has left, and whoever brings it there releases the object. So
/// readers never wait, writers never wait for readers, and no object outlives its last reader.
///
/// Slot 0 is "no object". When all other slots are held by readers of retired objects, the cell stays empty until the
/// next ``replace(with:)`` finds one.
@usableFromInline
@safe
// Safe: what is unsafe in it is private to this file, but for `object(in:)`, which says so.
struct SnapshotCell<Snapshot: AnyObject & Sendable>: ~Copyable, @unchecked Sendable {
    @usableFromInline
    @unsafe
    struct Slot: ~Copyable {
        @usableFromInline
        var object: Unmanaged<Snapshot>?
        /// Minus the readers that left; once retired, the readers that are still inside.
        @usableFromInline
        let balance = Atomic<Int>(0)

        @usableFromInline
        init() {}
    }

    /// The low six bits are the slot, the rest counts entries: at a billion a second they last nine years, and every
    /// replacement starts anew.
    @usableFromInline
    let word = Atomic<UInt64>(0)
    /// A set bit is a free slot.
    private let freeSlots = Atomic<UInt64>(~1)
    // Safe: a slot's `object` is written by a writer that took the slot out of `freeSlots` and before it is published
    // in `word`, and cleared by the one thread that brings `balance` to zero; in between it is only read. The memory
    // lives as long as the cell.
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
        // Nobody reads a cell that is being destroyed, so only the present object is left.
        let slot = Self.slot(in: word.load(ordering: .acquiring))
        unsafe slots[slot].object?.release()
        unsafe slots.deinitialize(count: Self.slotCount)
        unsafe slots.deallocate()
    }

    @inlinable
    static func slot(in word: UInt64) -> Int { Int(word & 63) }

    /// Pins the present object; has to be followed by ``leave(_:)``.
    @inlinable
    func enter() -> Int {
        Self.slot(in: word.wrappingAdd(64, ordering: .acquiring).oldValue)
    }

    /// The object in an entered slot, if there is one. It may be used until ``leave(_:)`` without being retained.
    @inlinable
    @unsafe
    func object(in slot: Int) -> Unmanaged<Snapshot>? {
        // Safe: the caller has entered the slot, so its object stays until it leaves.
        unsafe slots[slot].object
    }

    /// Ends what ``enter()`` began.
    @inlinable
    func leave(_ slot: Int) {
        if slot == 0 { return }
        // Safe: `slot` came from `enter`, and so lies below 64.
        let balance = unsafe slots[slot].balance.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue
        if balance == 0 { releaseRetired(slot) }
    }

    /// Puts `snapshot` in place of the present object. Writers have to exclude each other.
    ///
    /// - Returns: The former object if nobody reads it any more: let go of it outside any lock, since that may run
    ///   the deinitialisers of users.
    func replace(with snapshot: Snapshot?) -> Snapshot? {
        if snapshot == nil && Self.slot(in: word.load(ordering: .relaxed)) == 0 { return nil }
        var newSlot = 0
        if let snapshot, let free = takeFreeSlot() {
            newSlot = free
            // Safe: the slot is free, so no reader can look at it before `word` names it.
            unsafe slots[free].object = .passRetained(snapshot)
        }
        let former = word.exchange(UInt64(newSlot), ordering: .acquiringAndReleasing)
        let formerSlot = Self.slot(in: former)
        if formerSlot == 0 { return nil }
        let entries = Int(former >> 6)
        // Safe: the number of a slot lies below 64.
        let balance = unsafe slots[formerSlot].balance.wrappingAdd(entries, ordering: .acquiringAndReleasing).newValue
        return balance == 0 ? takeRetired(formerSlot) : nil
    }

    @usableFromInline
    @inline(never)
    func releaseRetired(_ slot: Int) {
        _ = takeRetired(slot)
    }

    private func takeRetired(_ slot: Int) -> Snapshot? {
        // Safe: the slot's balance reached zero after it was retired, so this thread is the only one to look at it.
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
