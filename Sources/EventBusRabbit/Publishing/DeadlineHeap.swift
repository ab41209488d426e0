import ConnectionThread
import HeapModule

/// Which of many events runs out of time first. Pure.
///
/// An event that needs no deadline any more keeps its entry until its time comes, or until such entries are the greater
/// part: then whoever keeps the events hands in those that are left.
struct DeadlineHeap {
    struct Entry: Comparable {
        let deadline: MonotonicTime
        let id: UInt64

        static func < (lhs: Entry, rhs: Entry) -> Bool {
            lhs.deadline == rhs.deadline ? lhs.id < rhs.id : lhs.deadline < rhs.deadline
        }
    }

    private var heap = Heap<Entry>()

    /// The earliest deadline that was noted and has not come.
    var earliest: MonotonicTime? { heap.min?.deadline }

    mutating func insert(_ deadline: MonotonicTime, id: UInt64) {
        heap.insert(Entry(deadline: deadline, id: id))
    }

    /// Takes out an event whose deadline has come.
    mutating func popDue(at now: MonotonicTime) -> UInt64? {
        guard let first = heap.min, first.deadline <= now else { return nil }
        return heap.removeMin().id
    }

    /// Whether most entries are of events that are no more, where `count` are.
    func isStale(count: Int) -> Bool { heap.count > 64 && heap.count > 2 * count }

    /// Notes these and no others.
    mutating func reset(to entries: [Entry]) {
        heap = Heap(entries)
    }
}
