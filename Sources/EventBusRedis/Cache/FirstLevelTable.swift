import EventBus
import Glibc

/// Values in the memory of this process, a bounded number of them, and what is being read: no clock.
///
/// A value that was read from the server may be kept only if nothing was heard of its key since before the read began.
/// So a marker is placed before the read, an invalidation takes it away, and a value whose marker is gone is not kept.
struct FirstLevelTable {
    typealias Instant = AnyClock.Instant

    struct Entry {
        /// `nil` says that there is no value.
        let value: (any Sendable)?
        let freshUntil: Instant
        let keepUntil: Instant
        /// How long it took to compute; zero if it was set.
        var computing = Duration.zero
        /// The keys of its tags.
        var tags: [String] = []
        /// What it takes, in bytes.
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

    /// The present. It goes on while the machine sleeps, as the server's time does; read without the detour through a
    /// clock that may be another one, which would be a fifth of a hit.
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
    /// The keys that have a tag.
    private var keysByTag: [ExactString: Set<ExactString>] = [:]
    /// Tags that were invalidated while something is being read, each with the last marker there was then.
    private var voidedTags: [ExactString: UInt64] = [:]
    private static let maximumVoidedTags = 1000
    /// Whether every change on the server is heard of. Until then nothing is served, or kept.
    private(set) var isCoherent = false

    init(capacity: Int, byteCapacity: Int = .max) {
        self.capacity = capacity
        self.byteCapacity = byteCapacity
    }

    var count: Int { index.count }

    /// What all entries take, in bytes.
    var size: Int { bytes }

    /// The entry for `key`, if it may be served; out of touch with the server only if `evenIfIncoherent`.
    mutating func entry(for key: String, now: Instant, evenIfIncoherent: Bool = false) -> Entry? {
        guard isCoherent || evenIfIncoherent, let position = index[ExactText(key)] else { return nil }
        guard now < slots[position].entry.keepUntil else {
            remove(key)
            return nil
        }
        slots[position].wasRead = true
        return slots[position].entry
    }

    /// The value for `key`, if there is one of this very type, it is fresh and not to be computed anew yet. Copies nothing
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

    /// Begins to read `key` from the server; returns the name of the marker, to be handed back.
    mutating func beginReading(_ key: String) -> UInt64 {
        if markers[ExactText(key)] == nil {
            lastMarker += 1
            markers[ExactText(key)] = Marker(id: lastMarker)
        }
        markers[ExactText(key)]?.readers += 1
        return markers[ExactText(key)]?.id ?? 0
    }

    /// Ends a reading, and keeps what was found if nothing was heard of `key` meanwhile.
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

    /// The tag may have been removed.
    mutating func invalidate(tag: String) {
        for key in keysByTag[ExactText(tag)] ?? [] { remove(key.text) }
        guard !markers.isEmpty else { return }
        guard voidedTags.count < Self.maximumVoidedTags else {
            // Nothing that is being read is kept.
            markers.removeAll()
            voidedTags.removeAll()
            return
        }
        voidedTags[ExactText(tag)] = lastMarker
    }

    /// Something may have changed on the server.
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

    /// Changes are heard of from now on. What is older may have changed unheard.
    mutating func becomeCoherent() {
        invalidateAll()
        isCoherent = true
    }

    /// Changes are not heard of any more. Entries stay for the case that nothing else is at hand.
    mutating func becomeIncoherent() {
        markers.removeAll()
        voidedTags.removeAll()
        isCoherent = false
    }

    /// When full, the entry that was not read lately goes (the clock algorithm: Fernando Corbató, "A Paging Experiment
    /// with the Multics System", 1968).
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
            // It takes the place of the one that went, so that those which are older are next.
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
