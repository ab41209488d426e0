import EventBus

/// A bounded number of entries, with an index of their tags: no clock.
///
/// When it is full, the next entry takes the place of one that was not asked for lately (the clock algorithm: Fernando
/// Corbató, "A Paging Experiment with the Multics System", 1968): a hand goes round, spares those that were read since
/// it last came by, and takes the first that was not.
struct CacheTable {
    typealias Instant = AnyClock.Instant

    struct Entry {
        let key: String
        /// `nil` says that there is no value.
        let value: (any Sendable)?
        let freshUntil: Instant
        let keepUntil: Instant
        /// How long it took to compute; zero if it was set.
        let computing: Duration
        let tags: Set<String>
    }

    private struct Slot {
        let entry: Entry
        var wasRead = false
    }

    private let capacity: Int
    private var slots: [Slot?] = []
    private var index: [ExactString: Int] = [:]
    private var tagged: [ExactString: Set<Int>] = [:]
    private var free: [Int] = []
    private var hand = 0

    init(capacity: Int) {
        self.capacity = max(1, capacity)
    }

    /// How many entries there are, those included whose time is over and that nobody has asked for since.
    var count: Int { index.count }

    /// The entry for `key`, if its time is not over.
    mutating func entry(for key: String, now: Instant) -> Entry? {
        guard let position = index[ExactText(key)], let entry = slots[position]?.entry else { return nil }
        guard now < entry.keepUntil else {
            clear(position)
            return nil
        }
        slots[position]?.wasRead = true
        return entry
    }

    mutating func insert(_ entry: Entry, now: Instant) {
        remove(entry.key)
        let position = freePosition(now: now)
        slots[position] = Slot(entry: entry)
        index[ExactText(entry.key)] = position
        for tag in entry.tags { tagged[ExactText(tag), default: []].insert(position) }
    }

    mutating func remove(_ key: String) {
        if let position = index[ExactText(key)] { clear(position) }
    }

    mutating func removeAll(tag: String) {
        for position in tagged[ExactText(tag)] ?? [] { clear(position) }
    }

    private mutating func freePosition(now: Instant) -> Int {
        if let position = free.popLast() { return position }
        guard slots.count >= capacity else {
            slots.append(nil)
            return slots.count - 1
        }
        while true {
            let position = hand
            hand = (hand + 1) % slots.count
            // An empty slot would be among the free ones, which there are none of.
            if let slot = slots[position], slot.wasRead, now < slot.entry.keepUntil {
                slots[position]?.wasRead = false
                continue
            }
            clear(position)
            _ = free.popLast()
            return position
        }
    }

    private mutating func clear(_ position: Int) {
        guard let entry = slots[position]?.entry else { return }
        slots[position] = nil
        index[ExactText(entry.key)] = nil
        for tag in entry.tags.map({ ExactText($0) }) {
            tagged[tag]?.remove(position)
            if tagged[tag]?.isEmpty == true { tagged[tag] = nil }
        }
        free.append(position)
    }
}
