import EventBus
import HeapModule

/// Which events are claimed and which completed: no clock.
struct InboxMachine {
    typealias Instant = AnyClock.Instant

    private struct Key: Hashable {
        let eventID: EventID
        let subscription: String
    }

    private struct Record {
        let fence: UInt64
        let isCompleted: Bool
        /// The end of the claim, or of the record's retention.
        let end: Instant
    }

    private struct End: Comparable {
        let instant: Instant
        let key: Key

        static func < (lhs: End, rhs: End) -> Bool { lhs.instant < rhs.instant }
    }

    private var records: [Key: Record] = [:]
    /// When to look whether a record can be forgotten; at least one for each record.
    private var ends = Heap<End>()
    private var lastFence: UInt64 = 0

    /// How many claims and completions are remembered.
    var count: Int { records.count }

    mutating func begin(_ id: EventID, subscription: String, lease: Duration, now: Instant) -> InboxDecision {
        forget(now: now)
        let key = Key(eventID: id, subscription: subscription)
        if let record = records[key] {
            return record.isCompleted ? .completed : .inProgress(retryAfter: now.duration(to: record.end))
        }
        lastFence += 1
        remember(key, Record(fence: lastFence, isCompleted: false, end: now.advanced(by: lease)))
        return .new(InboxClaim(eventID: id, subscription: subscription, fence: lastFence))
    }

    mutating func complete(_ claim: InboxClaim, retention: Duration, now: Instant) throws(EventBusError) {
        forget(now: now)
        let key = Key(eventID: claim.eventID, subscription: claim.subscription)
        if let record = records[key], record.fence != claim.fence {
            throw EventBusError(
                .leaseExpired,
                """
                the claim of \(claim.subscription) on event \(claim.eventID) ran out, and another \
                \(record.isCompleted ? "has handled it" : "handles it") by now; give claims a longer lease
                """
            )
        }
        remember(key, Record(fence: claim.fence, isCompleted: true, end: now.advanced(by: retention)))
    }

    mutating func abandon(_ claim: InboxClaim, now: Instant) {
        forget(now: now)
        let key = Key(eventID: claim.eventID, subscription: claim.subscription)
        guard let record = records[key], record.fence == claim.fence, !record.isCompleted else { return }
        records[key] = nil
    }

    private mutating func remember(_ key: Key, _ record: Record) {
        records[key] = record
        ends.insert(End(instant: record.end, key: key))
    }

    /// Forgets what has ended. Every end is looked at once, so a call costs what the calls before it put in.
    private mutating func forget(now: Instant) {
        while let end = ends.min, end.instant <= now {
            ends.removeMin()
            if let record = records[end.key], record.end <= now { records[end.key] = nil }
        }
    }
}
