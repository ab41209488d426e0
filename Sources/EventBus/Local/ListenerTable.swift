/// An immutable table from event types to their ``ListenerList``s, which can be read without reference counting.
///
/// It uses open addressing with linear probing and is at most half full.
// Safe because everything unsafe in it is private to this file, except for `list(for:)`, which documents it.
@usableFromInline
@safe
final class ListenerTable: Sendable {
    @usableFromInline
    @unsafe
    struct Entry {
        /// The address of the type's metadata, or 0 if the slot is empty.
        @usableFromInline
        var type: UInt
        @usableFromInline
        var list: UnsafeRawPointer?
    }

    @usableFromInline
    // Safe because it is written only in `init` and freed in `deinit`. `owners` retains the lists.
    nonisolated(unsafe) let entries: UnsafeMutablePointer<Entry>
    @usableFromInline
    let shift: UInt
    @usableFromInline
    let mask: Int
    private let owners: [ObjectIdentifier: any AnyObject & Sendable]

    /// Creates a table of `lists`. The value for the type `E` must be a `ListenerList<E>`.
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
            // Safe because `mask` keeps the index within the capacity.
            while unsafe entries[index].type != 0 { index = (index + 1) & mask }
            unsafe entries[index] = Entry(type: key, list: Unmanaged.passUnretained(list).toOpaque())
        }
    }

    deinit {
        unsafe entries.deallocate()
    }

    /// Returns a Fibonacci hash (Knuth, volume 3, section 6.4). Its high bits are well distributed.
    @inlinable
    static func hash(_ key: UInt) -> UInt {
        key &* UInt(truncatingIfNeeded: 0x9E37_79B9_7F4A_7C15 as UInt64)
    }

    /// Returns the unretained listeners for events of type `E`, if they were resolved.
    @inlinable
    @unsafe
    func list<E: Event>(for type: E.Type) -> Unmanaged<ListenerList<E>>? {
        let key = UInt(bitPattern: ObjectIdentifier(type))
        var index = Int(Self.hash(key) >> shift)
        while true {
            // Safe because `mask` keeps the index within the capacity. An empty slot ends the search.
            let entry = unsafe entries[index]
            if unsafe entry.type == key, let list = unsafe entry.list {
                // Safe because the value for the type `E` is a `ListenerList<E>`.
                return unsafe Unmanaged.fromOpaque(list)
            }
            if unsafe entry.type == 0 { return nil }
            index = (index + 1) & mask
        }
    }
}
