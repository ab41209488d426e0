import EventBus

/// A publish that waits for room in a queue.
struct BlockedPublish: Sendable {
    var envelope: Envelope
    var extras: EventMetadata?
    var queueName: String
    var deadline: AnyClock.Instant
    var waiter: OneShot<PublishAnswer>
}

/// The result of an attempt to publish.
enum PublishStep {
    case done(PublishOutcome)
    /// A queue is full, and nothing was sent.
    case full(queue: Int)
    /// A queue refused the event. Others may have received it.
    case refused(by: Int)
}

extension BrokerState {
    /// Routes `envelope` to every queue that is bound to its topic. If one of them is full, it is sent to none, or to
    /// those with room if full queues refuse.
    mutating func publish(
        _ envelope: Envelope,
        extras: EventMetadata? = nil,
        now: () -> AnyClock.Instant,
        _ effects: inout Effects
    ) -> PublishStep {
        if extras?.expires != nil { hasExpirations = true }
        let targets = routes.queues(for: envelope.topic)
        if let full = targets.first(where: { isFull($0) }) {
            guard configuration.overflow == .rejectPublish else { return .full(queue: full) }
            let withRoom = targets.filter { !isFull($0) }
            _ = route(envelope, to: withRoom, extras: extras, now: now, &effects)
            return .refused(by: full)
        }
        return .done(route(envelope, to: targets, extras: extras, now: now, &effects))
    }

    private func isFull(_ queue: Int) -> Bool {
        queues[queue].readyCount >= configuration.maximumQueueLength
    }

    /// Adds `envelope` to the queues `targets`, even if they are full.
    mutating func route(
        _ envelope: Envelope,
        to targets: [Int],
        extras: EventMetadata?,
        now: () -> AnyClock.Instant,
        _ effects: inout Effects
    ) -> PublishOutcome {
        if targets.isEmpty { return .unroutable }
        if faults != nil {
            routeWithFaults(QueuedEvent(envelope: envelope, extras: extras), to: targets, now: now(), &effects)
        } else {
            for queue in targets {
                enqueue(envelope, extras: extras, to: queue, &effects)
            }
        }
        return .routed
    }

    /// Keeps `envelope` until `due` and routes it then.
    mutating func schedule(_ envelope: Envelope, due: AnyClock.Instant, _ effects: inout Effects) {
        startTimer(.route(envelope), due: due, &effects)
    }

    // MARK: Waiting for room

    /// Registers a publish that waits until `queue` has room, or until `deadline`.
    mutating func block(
        _ envelope: Envelope,
        extras: EventMetadata?,
        on queue: Int,
        until deadline: AnyClock.Instant,
        waiter: OneShot<PublishAnswer>
    ) -> UInt64 {
        let number = makeNumber()
        blockedPublishes[number] = BlockedPublish(
            envelope: envelope,
            extras: extras,
            queueName: queues[queue].name,
            deadline: deadline,
            waiter: waiter
        )
        queues[queue].waitingForRoom.append(number)
        return number
    }

    /// Registers the need to check for overdue publishes at `deadline`.
    ///
    /// - Returns: `true` if no earlier check is scheduled, so that the caller has to schedule one.
    mutating func expectOverdue(at deadline: AnyClock.Instant) -> Bool {
        if let overdueLook, overdueLook <= deadline { return false }
        overdueLook = deadline
        return true
    }

    /// Gives up the publishes whose deadline has passed. Does nothing if `look` is no longer the time of the next
    /// check, because another one is scheduled then.
    ///
    /// - Returns: The time of the next check, or `nil` if none is needed.
    mutating func unblockOverdue(
        at look: AnyClock.Instant,
        now: AnyClock.Instant,
        _ effects: inout Effects
    ) -> AnyClock.Instant? {
        guard overdueLook == look else { return nil }
        for (number, publish) in blockedPublishes where publish.deadline <= now {
            unblock(number, cancelled: false, &effects)
        }
        overdueLook = blockedPublishes.values.lazy.map(\.deadline).min()
        return overdueLook
    }

    /// Stops waiting because the deadline passed or the caller was cancelled, in which case no event was sent. Does
    /// nothing if the event was already sent.
    mutating func unblock(_ number: UInt64, cancelled: Bool, _ effects: inout Effects) {
        guard let blocked = blockedPublishes.removeValue(forKey: number) else { return }
        if let queue = queueSlots[ExactText(blocked.queueName)] {
            // Otherwise a queue without consumers would remember every publish that ever gave up.
            let limit = 2 * blockedPublishes.count + 16
            if queues[queue].waitingForRoom.count > limit {
                queues[queue].waitingForRoom.removeAll { blockedPublishes[$0] == nil }
            }
        }
        requestIsReturning(of: blocked.extras)
        let answer: PublishAnswer = cancelled ? .cancelled : .deadlinePassed(queue: blocked.queueName)
        effects.answer(.publish(blocked.waiter, answer))
    }

    /// Lets waiting publishes try again while `queue` has room.
    mutating func admitBlockedPublish(to queue: Int, _ effects: inout Effects) {
        while queues[queue].readyCount < configuration.maximumQueueLength,
            let number = queues[queue].takeWaiting()
        {
            guard var blocked = blockedPublishes.removeValue(forKey: number) else { continue }
            let targets = routes.queues(for: blocked.envelope.topic)
            if let full = targets.first(where: { isFull($0) }) {
                blocked.queueName = queues[full].name
                blockedPublishes[number] = blocked
                queues[full].waitingForRoom.append(number)
                continue
            }
            // Only queued here. The dispatch that made the room continues and delivers the event in its turn.
            for target in targets {
                queues[target].append(QueuedEvent(envelope: blocked.envelope, extras: blocked.extras))
                readyCount += 1
                if target != queue { queuesToDispatch.append(target) }
            }
            let outcome: PublishOutcome = targets.isEmpty ? .unroutable : .routed
            if outcome == .unroutable { requestIsReturning(of: blocked.extras) }
            effects.answer(.publish(blocked.waiter, .outcome(outcome)))
        }
    }
}
