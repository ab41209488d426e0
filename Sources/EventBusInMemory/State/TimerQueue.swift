import EventBus
import HeapModule

/// The delayed work of the broker, ordered by due time.
struct TimerQueue: Sendable {
    enum Work: Sendable {
        /// An event is added to this queue only.
        case enqueue(QueuedEvent, QueueReference)
        /// A scheduled event is routed.
        case route(Envelope)
    }

    private struct Entry: Comparable, Sendable {
        var due: AnyClock.Instant
        /// The order of insertion, which decides between entries with the same due time.
        var order: UInt64
        var work: Work

        static func < (lhs: Entry, rhs: Entry) -> Bool {
            lhs.due == rhs.due ? lhs.order < rhs.order : lhs.due < rhs.due
        }

        static func == (lhs: Entry, rhs: Entry) -> Bool { lhs.order == rhs.order }
    }

    private var entries: Heap<Entry> = []
    private var nextOrder: UInt64 = 0

    var count: Int { entries.count }
    var nextDue: AnyClock.Instant? { entries.min?.due }

    /// Schedules `work` for `due`.
    ///
    /// - Returns: `true` if nothing else is due earlier, so that waiting tasks have to wait again.
    mutating func insert(_ work: Work, due: AnyClock.Instant) -> Bool {
        let isFirst = nextDue.map { due < $0 } ?? true
        entries.insert(Entry(due: due, order: nextOrder, work: work))
        nextOrder += 1
        return isFirst
    }

    func isDue(by now: AnyClock.Instant) -> Bool {
        nextDue.map { $0 <= now } ?? false
    }

    /// Removes and returns the next work that is due by `now`.
    mutating func popDue(by now: AnyClock.Instant) -> Work? {
        guard isDue(by: now) else { return nil }
        return entries.popMin()?.work
    }

    /// Returns the number of events that wait for `queue`.
    func count(for queue: QueueReference) -> Int {
        entries.unordered.count { entry in
            if case .enqueue(_, let target) = entry.work { target == queue } else { false }
        }
    }
}
