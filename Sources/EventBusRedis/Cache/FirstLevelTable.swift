import EventBus
import Glibc

/// A bounded number of values in the memory of this process, and the pending reads. It reads no clock: the caller
/// passes the time.
///
/// A value that was read from the server may be kept only if its key has not been invalidated since the read began. A
/// marker is therefore set before the read, an invalidation removes it, and a value whose marker is gone is not kept.
struct FirstLevelTable {
    typealias Instant = AnyClock.Instant

    struct Entry {
        /// The value, or `nil` to record that there is none.
        let value: (any Sendable)?
        let freshUntil: Instant
        let keepUntil: Instant
        /// The duration of the computation, or zero if the value was set.
        var computing = Duration.zero
        /// The keys of its tags.
        var tags: [String] = []
        /// Its size in bytes.
        var size = 0
    }

    private struct Slot {
        let key: String
        let entry: Entry
        var wasRead = false

        mutating func freshValue(as type: Any.Type, _ options: CacheOptions, now: Instant) -> (any Sendable)? {
            guard now < entry.freshUntil, let value = entry.value, Swift.type(of: value) == type,
                !options.mayBeDueEarly(left: now.duration(to: entry.freshUntil), computing: entry.computing)
            else { return nil }
            wasRead = true
            return value
        }
    }

    private struct Marker {
        let id: UInt64
        var readers = 0
    }

    /// The current instant. This clock advances while the machine sleeps, as the server's clock does. It is read
    /// directly because going through `AnyClock` would take a fifth of the time of a hit.
    static var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Instant(offset: .nanoseconds(Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)))
    }

    private let capacity: Int
    private let byteCapacity: Int
    private var bytes = 0
    private var slots: [Slot] = []
    private var index: [ExactString: Int] = [:]
    private var hand = 0
    private var markers: [ExactString: Marker] = [:]
    private var lastMarker: UInt64 = 0
    /// The keys of the entries that have a tag.
    private var keysByTag: [ExactString: Set<ExactString>] = [:]
    /// The tags that were invalidated during pending reads, each with the number of the last marker at that time.
    private var voidedTags: [ExactString: UInt64] = [:]
    private static let maximumVoidedTags = 1000
    /// A Boolean value indicating whether every change on the server is reported. Until then, nothing is served or
    /// kept.
    private(set) var isCoherent = false

    init(capacity: Int, byteCapacity: Int = .max) {
        self.capacity = capacity
        self.byteCapacity = byteCapacity
    }

    var count: Int { index.count }

    /// The size of all entries, in bytes.
    var size: Int { bytes }

    /// Returns the entry for `key` if it may be served. While changes are not reported, it is returned only if
    /// `evenIfIncoherent` is `true`.
    mutating func entry(for key: String, now: Instant, evenIfIncoherent: Bool = false) -> Entry? {
        guard isCoherent || evenIfIncoherent, let position = index[ExactText(key)] else { return nil }
        guard now < slots[position].entry.keepUntil else {
            remove(key)
            return nil
        }
        slots[position].wasRead = true
        return slots[position].entry
    }

    /// Returns the value for `key` if it has exactly this type, is fresh, and needs no early refresh. It copies nothing
    /// else.
    mutating func freshValue(
        for key: String,
        as type: Any.Type,
        _ options: CacheOptions,
        now: Instant
    ) -> (any Sendable)? {
        guard isCoherent, let position = index[ExactText(key)] else { return nil }
        return slots[position].freshValue(as: type, options, now: now)
    }

    /// Begins a read of `key` from the server. Returns the marker to pass to `endReading`.
    mutating func beginReading(_ key: String) -> UInt64 {
        if markers[ExactText(key)] == nil {
            lastMarker += 1
            markers[ExactText(key)] = Marker(id: lastMarker)
        }
        markers[ExactText(key)]?.readers += 1
        return markers[ExactText(key)]?.id ?? 0
    }

    /// Ends a read, and keeps the result if `key` has not been invalidated meanwhile.
    mutating func endReading(_ key: String, marker: UInt64, found entry: Entry?) {
        guard var present = markers[ExactText(key)], present.id == marker else { return }
        present.readers -= 1
        markers[ExactText(key)] = present.readers > 0 ? present : nil
        defer { if markers.isEmpty { voidedTags.removeAll() } }
        guard isCoherent, capacity > 0, let entry else { return }
        guard entry.tags.allSatisfy({ voidedTags[ExactText($0)].map { $0 < marker } ?? true }) else { return }
        remove(key)
        guard entry.size <= byteCapacity else { return }
        insert(entry, for: key)
    }

    /// Invalidates every entry with a tag that may have been removed.
    mutating func invalidate(tag: String) {
        for key in keysByTag[ExactText(tag)] ?? [] { remove(key.text) }
        guard !markers.isEmpty else { return }
        guard voidedTags.count < Self.maximumVoidedTags else {
            // No result of a pending read is kept.
            markers.removeAll()
            voidedTags.removeAll()
            return
        }
        voidedTags[ExactText(tag)] = lastMarker
    }

    /// Invalidates a key that may have changed on the server.
    mutating func invalidate(_ key: String) {
        markers[ExactText(key)] = nil
        remove(key)
    }

    mutating func invalidateAll() {
        markers.removeAll()
        voidedTags.removeAll()
        keysByTag.removeAll()
        bytes = 0
        slots.removeAll(keepingCapacity: true)
        index.removeAll(keepingCapacity: true)
        hand = 0
    }

    /// Changes are reported from now on. Older entries may be stale because of unreported changes, so they are dropped.
    mutating func becomeCoherent() {
        invalidateAll()
        isCoherent = true
    }

    /// Changes are no longer reported. Entries are kept in case no other source is available.
    mutating func becomeIncoherent() {
        markers.removeAll()
        voidedTags.removeAll()
        isCoherent = false
    }

    /// Inserts an entry. If the table is full, an entry that was not read recently is evicted by the clock algorithm
    /// (Fernando Corbató, "A Paging Experiment with the Multics System", 1968).
    private mutating func insert(_ entry: Entry, for key: String) {
        var isFull = false
        while slots.count >= capacity || bytes > byteCapacity - entry.size {
            isFull = true
            hand %= slots.count
            while slots[hand].wasRead {
                slots[hand].wasRead = false
                hand = (hand + 1) % slots.count
            }
            remove(slots[hand].key)
        }
        index[ExactText(key)] = slots.count
        slots.append(Slot(key: key, entry: entry))
        if isFull, hand < slots.count - 1 {
            // The new entry takes the place of the evicted one, so older entries are next.
            slots.swapAt(hand, slots.count - 1)
            index[ExactText(slots[hand].key)] = hand
            index[ExactText(slots[slots.count - 1].key)] = slots.count - 1
            hand += 1
        }
        bytes += entry.size
        for tag in entry.tags { keysByTag[ExactText(tag), default: []].insert(ExactText(key)) }
    }

    private mutating func remove(_ key: String) {
        guard let position = index.removeValue(forKey: ExactText(key)) else { return }
        let entry = slots[position].entry
        bytes -= entry.size
        for tag in entry.tags {
            keysByTag[ExactText(tag)]?.remove(ExactText(key))
            if keysByTag[ExactText(tag)]?.isEmpty == true { keysByTag[ExactText(tag)] = nil }
        }
        guard let last = slots.popLast(), position < slots.count else { return }
        slots[position] = last
        index[ExactText(last.key)] = position
    }
}
