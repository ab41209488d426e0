import EventBus
import HeapModule

/// What the broker does later, by the instant at which it is due.
struct TimerQueue: Sendable {
    enum Work: Sendable {
        /// An event comes to this queue alone.
        case enqueue(QueuedEvent, QueueReference)
        /// A scheduled event is routed.
        case route(Envelope)
    }

    private struct Entry: Comparable, Sendable {
        var due: AnyClock.Instant
        /// Of two that are due together the one that was noted first goes first.
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

    /// Notes `work` for `due`.
    ///
    /// - Returns: Whether nothing else is due earlier, so that whoever waits has to wait anew.
    mutating func insert(_ work: Work, due: AnyClock.Instant) -> Bool {
        let isFirst = nextDue.map { due < $0 } ?? true
        entries.insert(Entry(due: due, order: nextOrder, work: work))
        nextOrder += 1
        return isFirst
    }

    func isDue(by now: AnyClock.Instant) -> Bool {
        nextDue.map { $0 <= now } ?? false
    }

    /// Takes out the next work that is due by `now`.
    mutating func popDue(by now: AnyClock.Instant) -> Work? {
        guard isDue(by: now) else { return nil }
        return entries.popMin()?.work
    }

    /// How many events wait for `queue`.
    func count(for queue: QueueReference) -> Int {
        entries.unordered.count { entry in
            if case .enqueue(_, let target) = entry.work { target == queue } else { false }
        }
    }
}
