import EventBus
import HeapModule

/// The claimed and completed events. It reads no clock: the caller passes the time.
struct InboxStateMachine {
    typealias Instant = AnyClock.Instant

    private struct Record {
        let fence: UInt64
        let isCompleted: Bool
        let payloadDigest: UInt64?
        /// The end of the claim, or of the record's retention.
        let end: Instant
    }

    private struct End: Comparable {
        let instant: Instant
        let key: InboxKey

        static func < (lhs: End, rhs: End) -> Bool { lhs.instant < rhs.instant }
    }

    private var records: [InboxKey: Record] = [:]
    /// The times at which to check whether a record can be removed, at least one for each record.
    private var ends = Heap<End>()
    private var lastFence: UInt64 = 0

    /// The number of stored claims and completions.
    var count: Int { records.count }

    mutating func begin(_ key: InboxKey, lease: Duration, now: Instant) -> InboxDecision {
        forget(now: now)
        if let record = records[key] {
            return record.isCompleted
                ? key.decision(completedWith: record.payloadDigest)
                : .inProgress(retryAfter: now.duration(to: record.end))
        }
        lastFence += 1
        remember(key, fence: lastFence, isCompleted: false, until: now.advanced(by: lease))
        return .new(InboxClaim(key: key, fence: lastFence))
    }

    mutating func renew(_ claim: InboxClaim, lease: Duration, now: Instant) throws(EventBusError) {
        forget(now: now)
        guard let record = records[claim.key], record.fence == claim.fence else { throw .notInForce(claim) }
        guard !record.isCompleted else { return }
        remember(claim.key, fence: claim.fence, isCompleted: false, until: now.advanced(by: lease))
    }

    mutating func complete(_ claim: InboxClaim, retention: Duration, now: Instant) throws(EventBusError) {
        forget(now: now)
        if let record = records[claim.key], record.fence != claim.fence {
            throw .replaced(claim, isCompleted: record.isCompleted)
        }
        remember(claim.key, fence: claim.fence, isCompleted: true, until: now.advanced(by: retention))
    }

    mutating func abandon(_ claim: InboxClaim, now: Instant) {
        forget(now: now)
        guard let record = records[claim.key], record.fence == claim.fence, !record.isCompleted else { return }
        records[claim.key] = nil
    }

    private mutating func remember(_ key: InboxKey, fence: UInt64, isCompleted: Bool, until end: Instant) {
        records[key] = Record(fence: fence, isCompleted: isCompleted, payloadDigest: key.payloadDigest, end: end)
        ends.insert(End(instant: end, key: key))
    }

    /// Removes expired records. Every end is checked once, so a call costs as much as earlier calls have added.
    private mutating func forget(now: Instant) {
        while let end = ends.min, end.instant <= now {
            ends.removeMin()
            if let record = records[end.key], record.end <= now { records[end.key] = nil }
        }
    }
}
