import ConnectionThread
import HeapModule

/// The deadlines of many events, ordered by time. It is a plain data structure.
///
/// An event that no longer needs a deadline keeps its entry until it is due, or until such entries are in the majority.
/// Then the owner of the events passes the remaining ones.
struct DeadlineHeap {
    struct Entry: Comparable {
        let deadline: MonotonicTime
        let id: UInt64

        static func < (lhs: Entry, rhs: Entry) -> Bool {
            lhs.deadline == rhs.deadline ? lhs.id < rhs.id : lhs.deadline < rhs.deadline
        }
    }

    private var heap = Heap<Entry>()

    /// The earliest recorded deadline that has not passed.
    var earliest: MonotonicTime? { heap.min?.deadline }

    mutating func insert(_ deadline: MonotonicTime, id: UInt64) {
        heap.insert(Entry(deadline: deadline, id: id))
    }

    /// Removes and returns an event whose deadline has passed.
    mutating func popDue(at now: MonotonicTime) -> UInt64? {
        guard let first = heap.min, first.deadline <= now else { return nil }
        return heap.removeMin().id
    }

    /// Returns a Boolean value indicating whether most entries are outdated, given that `count` events exist.
    func isStale(count: Int) -> Bool { heap.count > 64 && heap.count > 2 * count }

    /// Replaces all entries.
    mutating func reset(to entries: [Entry]) {
        heap = Heap(entries)
    }
}
