import HeapModule

/// The identity of one timer of a ``ConnectionThread``.
package struct TimerID: Hashable, Sendable {
    let number: UInt64
}

/// The pending timers, ordered by deadline. It reads no clock: the caller passes the time.
///
/// A cancelled timer stays in the heap until it is due, or until cancelled timers make up most of the heap.
struct TimerQueue<Action> {
    private struct Entry: Comparable {
        let deadline: MonotonicTime
        let id: TimerID

        static func < (lhs: Entry, rhs: Entry) -> Bool {
            lhs.deadline == rhs.deadline ? lhs.id.number < rhs.id.number : lhs.deadline < rhs.deadline
        }
    }

    private var heap = Heap<Entry>()
    private var actions: [TimerID: Action] = [:]
    private var lastNumber: UInt64 = 0

    /// The number of pending timers.
    var count: Int { actions.count }

    mutating func add(at deadline: MonotonicTime, _ action: Action) -> TimerID {
        lastNumber += 1
        let id = TimerID(number: lastNumber)
        heap.insert(Entry(deadline: deadline, id: id))
        actions[id] = action
        return id
    }

    mutating func cancel(_ id: TimerID) {
        guard actions.removeValue(forKey: id) != nil else { return }
        if heap.count > 64, heap.count > actions.count * 2 {
            heap = Heap(heap.unordered.filter { actions[$0.id] != nil })
        }
    }

    /// Returns the deadline of the next timer, or `nil` if none is pending.
    mutating func nextDeadline() -> MonotonicTime? {
        while let first = heap.min {
            if actions[first.id] != nil { return first.deadline }
            heap.removeMin()
        }
        return nil
    }

    /// Removes and returns the earliest timer that is due at `now`.
    mutating func popDue(at now: MonotonicTime) -> Action? {
        while let first = heap.min, first.deadline <= now {
            heap.removeMin()
            if let action = actions.removeValue(forKey: first.id) { return action }
        }
        return nil
    }
}
