import EventBus

/// The grants that this process holds. Each lost grant is counted once, however many calls learn of it.
///
/// It reads no clock and performs no I/O. Grants that are never released are dropped as lost when there are too many of
/// them.
struct LockStateTable {
    private var ends: [String: AnyClock.Instant] = [:]
    private var capacity = LockStateTable.smallestCapacity
    private static let smallestCapacity = 1024

    var count: Int { ends.count }

    /// Records a grant. Returns the number of older grants that expired unnoticed.
    mutating func note(_ owner: String, until end: AnyClock.Instant, at now: AnyClock.Instant) -> Int {
        ends[owner] = end
        guard ends.count > capacity else { return 0 }
        let before = ends.count
        ends = ends.filter { now < $0.value }
        // All of these are valid and really held. The next check is due when their number has doubled.
        capacity = max(Self.smallestCapacity, ends.count * 2)
        return before - ends.count
    }

    mutating func renew(_ owner: String, until end: AnyClock.Instant) {
        if let known = ends[owner] { ends[owner] = max(known, end) }
    }

    /// Records the end of a grant. Returns `true` if the end was unknown and the grant was lost, because the server
    /// said so or because it had expired.
    mutating func end(_ owner: String, isLost: Bool, at now: AnyClock.Instant) -> Bool {
        guard let end = ends.removeValue(forKey: owner) else { return false }
        return isLost || now >= end
    }
}
