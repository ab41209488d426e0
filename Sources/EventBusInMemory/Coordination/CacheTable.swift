import EventBus

/// A bounded number of entries, with an index of their tags. It reads no clock: the caller passes the time.
///
/// If it is full, a new entry replaces one that was not requested recently (the clock algorithm: Fernando Corbató, "A
/// Paging Experiment with the Multics System", 1968). A hand visits the entries in turn, spares those that were read
/// since its last visit, and evicts the first that was not.
struct CacheTable {
    typealias Instant = AnyClock.Instant

    struct Entry {
        let key: String
        /// The value, or `nil` to record that there is none.
        let value: (any Sendable)?
        let freshUntil: Instant
        let keepUntil: Instant
        /// The duration of the computation, or zero if the value was set.
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

    /// The number of entries, including expired ones that nobody has requested since.
    var count: Int { index.count }

    /// Returns the entry for `key`, unless it has expired.
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
            // An empty slot would be among the free ones, and there are none.
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
