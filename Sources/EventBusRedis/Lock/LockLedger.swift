import EventBus

/// Which grants this process holds, so that each that was lost is counted once, however many calls learn of it.
///
/// No clock, no I/O. What is granted and never given back is forgotten, as lost, when there are too many of those.
struct LockLedger {
    private var ends: [String: AnyClock.Instant] = [:]
    private var capacity = LockLedger.smallestCapacity
    private static let smallestCapacity = 1024

    var count: Int { ends.count }

    /// Notes a grant; returns how many older ones ran out unnoticed.
    mutating func note(_ owner: String, until end: AnyClock.Instant, at now: AnyClock.Instant) -> Int {
        ends[owner] = end
        guard ends.count > capacity else { return 0 }
        let before = ends.count
        ends = ends.filter { now < $0.value }
        // As many valid ones are really held; the next look is due when they have doubled.
        capacity = max(Self.smallestCapacity, ends.count * 2)
        return before - ends.count
    }

    mutating func renew(_ owner: String, until end: AnyClock.Instant) {
        if let known = ends[owner] { ends[owner] = max(known, end) }
    }

    /// Notes that a grant is over; true if that was not known, and it was lost: the server said so, or its time was over.
    mutating func end(_ owner: String, isLost: Bool, at now: AnyClock.Instant) -> Bool {
        guard let end = ends.removeValue(forKey: owner) else { return false }
        return isLost || now >= end
    }
}
