import DequeModule
import EventBus

/// The state machine of a lock: the holders and the waiters of each resource. It reads no clock and resumes no
/// continuation.
///
/// Only the first waiter watches for the end of the current grants. The others sleep until they are woken or until their
/// own deadline. Every method returns the waiters to wake, so that somebody always watches.
struct LockMachine {
    typealias Instant = AnyClock.Instant
    typealias WaiterID = UInt64

    enum Acquisition {
        case granted(LockGrant)
        case queued(WaiterID)
        case refused
    }

    enum Poll {
        case granted(LockGrant)
        case wait(until: Instant)
        case timedOut
    }

    fileprivate struct Waiter {
        let id: WaiterID
        let share: LockShare
        let ttl: Duration
        let deadline: Instant
    }

    fileprivate struct Holder {
        let fencingToken: UInt64
        let share: LockShare
        /// The waiter that was handed the resource and has not taken it yet. Its time to live starts when it does.
        var handedTo: Waiter?
        let grantedAt: Instant
        var expiry: Instant

        func isOver(at now: Instant) -> Bool { handedTo == nil && now >= expiry }
    }

    fileprivate struct Line {
        /// The holders in the order of their grants. If one of them is exclusive, it is the only one.
        var holders: [Holder] = []
        var waiters: Deque<Waiter> = []

        var isIdle: Bool { holders.isEmpty && waiters.isEmpty }

        /// Returns a Boolean value indicating whether there is room for a holder with this share.
        func hasRoom(for share: LockShare) -> Bool {
            guard let first = holders.first else { return true }
            guard let limit = share.limit, first.share.limit != nil else { return false }
            return holders.count < limit
        }

        /// The earliest end of a grant that was taken.
        var firstExpiry: Instant? { holders.lazy.filter { $0.handedTo == nil }.map(\.expiry).min() }
    }

    private var lines: [ExactString: Line] = [:]
    private var lastToken: UInt64
    private var lastWaiter: WaiterID = 0
    private var sweepThreshold = 64

    /// Creates a machine whose tokens are greater than `firstToken`.
    init(firstToken: UInt64) {
        self.lastToken = firstToken
    }

    /// The number of resources that are held or waited for.
    var count: Int { lines.count }

    mutating func acquire(
        _ resource: String,
        share: LockShare = .exclusive,
        ttl: Duration,
        wait: Duration,
        now: Instant
    ) -> (Acquisition, wake: [WaiterID]) {
        sweepIfLarge(now: now)
        return update(resource) { line, machine in
            let wake = machine.handOver(&line, now: now)
            if line.waiters.isEmpty, line.hasRoom(for: share) {
                let holder = machine.holder(share, handedTo: nil, now: now, expiry: now.advanced(by: ttl))
                line.holders.append(holder)
                return (.granted(holder.grant(of: resource, ttl: ttl)), wake)
            }
            guard wait > .zero else { return (.refused, wake) }
            machine.lastWaiter += 1
            let waiter = Waiter(id: machine.lastWaiter, share: share, ttl: ttl, deadline: now.advanced(by: wait))
            line.waiters.append(waiter)
            return (.queued(waiter.id), wake)
        }
    }

    /// Returns the result for a waiter, or the time at which to ask again.
    mutating func poll(_ id: WaiterID, for resource: String, now: Instant) -> (Poll, wake: [WaiterID]) {
        update(resource) { line, machine in
            var wake = machine.handOver(&line, now: now)
            if let index = line.holders.firstIndex(where: { $0.handedTo?.id == id }),
                let waiter = line.holders[index].handedTo
            {
                line.holders[index].handedTo = nil
                line.holders[index].expiry = now.advanced(by: waiter.ttl)
                let holder = line.holders[index]
                // Only now is there an end to watch for.
                wake += line.first
                return (.granted(holder.grant(of: resource, ttl: waiter.ttl)), wake)
            }
            guard let index = line.waiters.firstIndex(where: { $0.id == id }) else { return (.timedOut, wake) }
            let deadline = line.waiters[index].deadline
            guard now < deadline else {
                line.waiters.remove(at: index)
                if index == 0 { wake += line.first }
                return (.timedOut, wake)
            }
            if index == 0, let expiry = line.firstExpiry { return (.wait(until: min(deadline, expiry)), wake) }
            return (.wait(until: deadline), wake)
        }
    }

    /// Removes a waiter from the queue, and releases a resource that it may have been handed.
    mutating func cancel(_ id: WaiterID, for resource: String, now: Instant) -> [WaiterID] {
        update(resource) { line, machine in
            if let index = line.holders.firstIndex(where: { $0.handedTo?.id == id }) {
                line.holders.remove(at: index)
            } else if let index = line.waiters.firstIndex(where: { $0.id == id }) {
                line.waiters.remove(at: index)
                if index == 0 { return machine.handOver(&line, now: now) + line.first }
            }
            return machine.handOver(&line, now: now)
        }
    }

    mutating func renew(_ grant: LockGrant, now: Instant) throws(EventBusError) -> Instant {
        let index = try index(of: grant, now: now)
        let expiry = now.advanced(by: grant.ttl)
        lines[ExactText(grant.resource)]?.holders[index].expiry = expiry
        return expiry
    }

    mutating func release(_ grant: LockGrant, now: Instant) throws(EventBusError) -> [WaiterID] {
        let index = try index(of: grant, now: now)
        return update(grant.resource) { line, machine in
            line.holders.remove(at: index)
            return machine.handOver(&line, now: now)
        }
    }

    /// Returns the holder of `resource`, or `nil` if it is free.
    func inspect(_ resource: String, process: String, now: Instant) -> LockHolder? {
        guard let line = lines[ExactText(resource)], let holder = line.holders.first(where: { !$0.isOver(at: now) })
        else { return nil }
        return LockHolder(
            resource: resource,
            owner: "\(holder.fencingToken)",
            process: process,
            fencingToken: holder.fencingToken,
            heldFor: holder.grantedAt.duration(to: now),
            remaining: max(.zero, now.duration(to: holder.expiry)),
            waiters: line.waiters.count
        )
    }

    /// The names of the resources that are held or waited for.
    var resources: [String] { lines.keys.map(\.text) }

    /// Returns the index of the holder of `grant`, or throws if the grant has ended.
    private func index(of grant: LockGrant, now: Instant) throws(EventBusError) -> Int {
        let holders = lines[ExactText(grant.resource)]?.holders ?? []
        if let index = holders.firstIndex(where: { $0.fencingToken == grant.fencingToken }),
            !holders[index].isOver(at: now)
        {
            return index
        }
        if holders.contains(where: { $0.fencingToken != grant.fencingToken && !$0.isOver(at: now) }) {
            throw EventBusError(.lockNotOwned, "another holds '\(grant.resource)' by now; this lease ended before")
        }
        throw EventBusError(.leaseExpired, "the lease of '\(grant.resource)' has ended; acquire it again")
    }

    /// Ends expired grants, and hands the resource to the first waiters, for as many as it has room.
    private mutating func handOver(_ line: inout Line, now: Instant) -> [WaiterID] {
        line.holders.removeAll { $0.isOver(at: now) }
        var wake: [WaiterID] = []
        while let next = line.waiters.first, line.hasRoom(for: next.share) {
            line.waiters.removeFirst()
            line.holders.append(holder(next.share, handedTo: next, now: now, expiry: now))
            wake.append(next.id)
        }
        return wake
    }

    private mutating func holder(
        _ share: LockShare,
        handedTo waiter: Waiter?,
        now: Instant,
        expiry: Instant
    ) -> Holder {
        lastToken += 1
        return Holder(fencingToken: lastToken, share: share, handedTo: waiter, grantedAt: now, expiry: expiry)
    }

    /// Calls `body` with the queue of `resource`, and removes the queue if it is idle afterwards.
    private mutating func update<R>(_ resource: String, _ body: (inout Line, inout LockMachine) -> R) -> R {
        // Removed from the dictionary meanwhile, so that it is not copied.
        let name = ExactText(resource)
        var line = lines.removeValue(forKey: name) ?? Line()
        let result = body(&line, &self)
        if !line.isIdle { lines[name] = line }
        return result
    }

    /// Removes expired grants that nobody asks for, each time the table has doubled.
    private mutating func sweepIfLarge(now: Instant) {
        guard lines.count >= sweepThreshold else { return }
        lines = lines.filter { _, line in !line.waiters.isEmpty || line.holders.contains { !$0.isOver(at: now) } }
        sweepThreshold = max(64, lines.count * 2)
    }
}

extension LockMachine.Line {
    fileprivate var first: [LockMachine.WaiterID] { waiters.first.map { [$0.id] } ?? [] }
}

extension LockMachine.Holder {
    fileprivate func grant(of resource: String, ttl: Duration) -> LockGrant {
        LockGrant(
            resource: resource,
            owner: "\(fencingToken)",
            fencingToken: fencingToken,
            ttl: ttl,
            validUntil: expiry
        )
    }
}
