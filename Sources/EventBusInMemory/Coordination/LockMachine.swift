import DequeModule
import EventBus

/// The state machine of a lock: the holder and the waiters of each resource. It reads no clock and resumes no
/// continuation.
///
/// Only the first waiter watches for the end of the current grant. The others sleep until they are woken or until their
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
        let ttl: Duration
        let deadline: Instant
    }

    fileprivate struct Holder {
        let fencingToken: UInt64
        /// The waiter that was handed the resource and has not taken it yet. Its time to live starts when it does.
        var handedTo: Waiter?
        var expiry: Instant

        func isOver(at now: Instant) -> Bool { handedTo == nil && now >= expiry }
    }

    fileprivate struct Line {
        var holder: Holder?
        var waiters: Deque<Waiter> = []

        var isIdle: Bool { holder == nil && waiters.isEmpty }
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
        ttl: Duration,
        wait: Duration,
        now: Instant
    ) -> (Acquisition, wake: [WaiterID]) {
        sweepIfLarge(now: now)
        return update(resource) { line, machine in
            let wake = machine.handOver(&line, now: now)
            if line.isIdle {
                let holder = machine.holder(handedTo: nil, expiry: now.advanced(by: ttl))
                line.holder = holder
                return (.granted(holder.grant(of: resource, ttl: ttl)), wake)
            }
            guard wait > .zero else { return (.refused, wake) }
            machine.lastWaiter += 1
            let waiter = Waiter(id: machine.lastWaiter, ttl: ttl, deadline: now.advanced(by: wait))
            line.waiters.append(waiter)
            return (.queued(waiter.id), wake)
        }
    }

    /// Returns the result for a waiter, or the time at which to ask again.
    mutating func poll(_ id: WaiterID, for resource: String, now: Instant) -> (Poll, wake: [WaiterID]) {
        update(resource) { line, machine in
            var wake = machine.handOver(&line, now: now)
            if var holder = line.holder, let waiter = holder.handedTo, waiter.id == id {
                holder.handedTo = nil
                holder.expiry = now.advanced(by: waiter.ttl)
                line.holder = holder
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
            if index == 0, let holder = line.holder, holder.handedTo == nil {
                return (.wait(until: min(deadline, holder.expiry)), wake)
            }
            return (.wait(until: deadline), wake)
        }
    }

    /// Removes a waiter from the queue, and releases a resource that it may have been handed.
    mutating func cancel(_ id: WaiterID, for resource: String, now: Instant) -> [WaiterID] {
        update(resource) { line, machine in
            if line.holder?.handedTo?.id == id {
                line.holder = nil
            } else if let index = line.waiters.firstIndex(where: { $0.id == id }) {
                line.waiters.remove(at: index)
                if index == 0 { return machine.handOver(&line, now: now) + line.first }
            }
            return machine.handOver(&line, now: now)
        }
    }

    mutating func renew(_ grant: LockGrant, now: Instant) throws(EventBusError) -> Instant {
        try checkOwner(of: grant, now: now)
        let expiry = now.advanced(by: grant.ttl)
        lines[ExactText(grant.resource)]?.holder?.expiry = expiry
        return expiry
    }

    mutating func release(_ grant: LockGrant, now: Instant) throws(EventBusError) -> [WaiterID] {
        try checkOwner(of: grant, now: now)
        return update(grant.resource) { line, machine in
            line.holder = nil
            return machine.handOver(&line, now: now)
        }
    }

    private func checkOwner(of grant: LockGrant, now: Instant) throws(EventBusError) {
        let holder = lines[ExactText(grant.resource)]?.holder
        if let holder, holder.fencingToken != grant.fencingToken, !holder.isOver(at: now) {
            throw EventBusError(.lockNotOwned, "another holds '\(grant.resource)' by now; this lease ended before")
        }
        guard let holder, holder.fencingToken == grant.fencingToken, !holder.isOver(at: now) else {
            throw EventBusError(.leaseExpired, "the lease of '\(grant.resource)' has ended; acquire it again")
        }
    }

    /// Ends an expired grant, and hands a free resource to the first waiter.
    private mutating func handOver(_ line: inout Line, now: Instant) -> [WaiterID] {
        if let holder = line.holder {
            guard holder.isOver(at: now) else { return [] }
            line.holder = nil
        }
        guard let next = line.waiters.popFirst() else { return [] }
        line.holder = holder(handedTo: next, expiry: now)
        return [next.id]
    }

    private mutating func holder(handedTo waiter: Waiter?, expiry: Instant) -> Holder {
        lastToken += 1
        return Holder(fencingToken: lastToken, handedTo: waiter, expiry: expiry)
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
        lines = lines.filter { !$0.value.waiters.isEmpty || $0.value.holder?.isOver(at: now) == false }
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
