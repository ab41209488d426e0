import EventBus

/// A thread-safe list that records events of a test in order.
package final class EventLog<Entry: Sendable>: Sendable {
    private let storage = Locked<[Entry]>([])

    package init() {}

    /// The entries so far.
    package var entries: [Entry] { storage.withLock { $0 } }

    /// The number of entries so far.
    package var count: Int { storage.withLock { $0.count } }

    /// Appends `entry` and returns the new number of entries.
    @discardableResult
    package func note(_ entry: Entry) -> Int {
        storage.withLock { entries in
            entries.append(entry)
            return entries.count
        }
    }
}
