/// An immutable table from event type to its ``ListenerList``, made to be looked up without any reference counting.
///
/// Open addressing with linear probing, at most half full.
// Safe: what is unsafe in it is private to this file, but for `list(for:)`, which says so.
@usableFromInline
@safe
final class ListenerTable: Sendable {
    @usableFromInline
    @unsafe
    struct Entry {
        /// The address of the type's metadata; 0 where the place is empty.
        @usableFromInline
        var type: UInt
        @usableFromInline
        var list: UnsafeRawPointer?
    }

    @usableFromInline
    // Safe: written in `init` only, and freed in `deinit`. The lists pointed to are owned by `owners`.
    nonisolated(unsafe) let entries: UnsafeMutablePointer<Entry>
    @usableFromInline
    let shift: UInt
    @usableFromInline
    let mask: Int
    private let owners: [ObjectIdentifier: any AnyObject & Sendable]

    /// A table of `lists`; what stands under the type `E` has to be a `ListenerList<E>`.
    init(_ lists: [ObjectIdentifier: any AnyObject & Sendable]) {
        owners = lists
        var bits: UInt = 2
        while 1 << bits < lists.count * 2 { bits += 1 }
        let capacity = 1 << Int(bits)
        shift = UInt(UInt.bitWidth) - bits
        mask = capacity - 1
        unsafe entries = .allocate(capacity: capacity)
        unsafe entries.initialize(repeating: Entry(type: 0, list: nil), count: capacity)
        for (type, list) in lists {
            let key = UInt(bitPattern: type)
            var index = Int(Self.hash(key) >> shift)
            // Safe: `mask` keeps the index within the capacity.
            while unsafe entries[index].type != 0 { index = (index + 1) & mask }
            unsafe entries[index] = Entry(type: key, list: Unmanaged.passUnretained(list).toOpaque())
        }
    }

    deinit {
        unsafe entries.deallocate()
    }

    /// Fibonacci hashing (Knuth, volume 3, section 6.4): the high bits are good.
    @inlinable
    static func hash(_ key: UInt) -> UInt {
        key &* UInt(truncatingIfNeeded: 0x9E37_79B9_7F4A_7C15 as UInt64)
    }

    /// The listeners for events of type `E`, unretained, if they were resolved.
    @inlinable
    @unsafe
    func list<E: Event>(for type: E.Type) -> Unmanaged<ListenerList<E>>? {
        let key = UInt(bitPattern: ObjectIdentifier(type))
        var index = Int(Self.hash(key) >> shift)
        while true {
            // Safe: `mask` keeps the index within the capacity, and a place that is empty ends the search.
            let entry = unsafe entries[index]
            if unsafe entry.type == key, let list = unsafe entry.list {
                // Safe: under the type `E` stands a `ListenerList<E>`.
                return unsafe Unmanaged.fromOpaque(list)
            }
            if unsafe entry.type == 0 { return nil }
            index = (index + 1) & mask
        }
    }
}
