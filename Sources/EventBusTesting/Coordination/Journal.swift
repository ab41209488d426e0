import EventBus

/// Notes what happened, in order, from many tasks.
package final class Journal<Entry: Sendable>: Sendable {
    private let storage = Locked<[Entry]>([])

    package init() {}

    /// What was noted so far.
    package var entries: [Entry] { storage.withLock { $0 } }

    /// How much was noted so far.
    package var count: Int { storage.withLock { $0.count } }

    /// Notes `entry` and returns how many there are now.
    @discardableResult
    package func note(_ entry: Entry) -> Int {
        storage.withLock { entries in
            entries.append(entry)
            return entries.count
        }
    }
}
