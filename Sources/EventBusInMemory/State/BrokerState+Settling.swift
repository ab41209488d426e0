import EventBus

extension BrokerState {
    /// Settles a delivery according to `disposition`.
    ///
    /// - Parameters:
    ///   - eventID: The id under which the subscription handles the event.
    ///   - retryDue: The time of the redelivery of a retried or deferred delivery, or `nil` for immediately.
    ///   - time: The time of a failure.
    /// - Returns: `true` if the consumer had the delivery. Otherwise it is stale.
    mutating func settle(
        _ token: Delivery.Token,
        of consumer: ConsumerReference,
        as disposition: Disposition,
        eventID: EventID,
        retryDue: AnyClock.Instant?,
        time: EventTime?,
        _ effects: inout Effects
    ) -> Bool {
        let slot = consumer.slot
        guard consumers[slot].uniqueID == consumer.uniqueID, let settled = consumers[slot].take(token) else {
            return false
        }
        let queue = consumers[slot].queue
        queues[queue].unsettledCount -= 1
        unsettledCount -= 1
        if settled.heldUntil != nil { heldCount -= 1 }
        switch disposition {
        case .acknowledged:
            break
        case .retried:
            var event = settled.event(as: eventID)
            event.attempt += 1
            event.redeliveries = 0
            event.extras = EventMetadata(
                replyAddress: settled.extras?.replyAddress,
                // One in the future was stored before the clock was set back.
                firstFailure: settled.extras?.firstFailure.map { first in time.map { min(first, $0) } ?? first } ?? time
            )
            enqueue(event, in: queue, due: retryDue, &effects)
        case .deferred(let delay, let failure):
            var event = settled.event(as: eventID)
            event.redeliveries = 0
            if failure != nil || settled.extras?.expires != nil {
                event.extras = EventMetadata(
                    replyAddress: settled.extras?.replyAddress,
                    firstFailure: settled.extras?.firstFailure,
                    deferredFor: settled.delivery.deferredFor + (failure == nil ? .zero : delay)
                )
            }
            enqueue(event, in: queue, due: retryDue, &effects)
        case .deadLettered(let failure):
            let time = time ?? .now()
            bury(
                settled.event(as: eventID),
                from: queue,
                failure: failure,
                attempts: max(failure.attempt, settled.event.attempt),
                firstFailure: settled.extras?.firstFailure ?? failure.firstFailure ?? time,
                time: time
            )
        case .requeued:
            queues[queue].putBack(settled.event)
            readyCount += 1
        }
        if consumers[slot].isStopped && consumers[slot].unsettledCount == 0 { retire(slot, &effects) }
        if queues[queue].readyCount > 0 || !queuesToDispatch.isEmpty { dispatch(queue, &effects) }
        return true
    }

    /// Adds an event to its queue again when it is due.
    private mutating func enqueue(
        _ event: QueuedEvent,
        in queue: Int,
        due: AnyClock.Instant?,
        _ effects: inout Effects
    ) {
        if let due {
            startTimer(.enqueue(event, reference(toQueue: queue)), due: due, &effects)
        } else {
            queues[queue].append(event)
            readyCount += 1
        }
    }

    /// Records that a delivery waits for its retry in the order of its key until `instant`.
    mutating func hold(_ token: Delivery.Token, of consumer: ConsumerReference, until instant: AnyClock.Instant) {
        guard consumers[consumer.slot].uniqueID == consumer.uniqueID else { return }
        heldCount += consumers[consumer.slot].hold(token, until: instant)
    }

    /// Records that a consumer's subscription starts nothing before `instant`, or `nil` when it continues.
    mutating func pause(_ consumer: ConsumerReference, until instant: AnyClock.Instant?) {
        guard consumers[consumer.slot].uniqueID == consumer.uniqueID, !consumers[consumer.slot].isClosed else { return }
        let wasPaused = consumers[consumer.slot].pausedUntil != nil
        consumers[consumer.slot].pausedUntil = instant
        pausedCount += (instant == nil ? 0 : 1) - (wasPaused ? 1 : 0)
    }

    /// Adds an event to the dead letters of its queue's group.
    mutating func bury(
        _ event: QueuedEvent,
        from queue: Int,
        failure: Failure,
        attempts: Int,
        firstFailure: EventTime?,
        time: EventTime
    ) {
        let deadLetter = DeadLetter(
            envelope: event.envelope,
            group: queues[queue].group,
            queue: queues[queue].name,
            failure: failure,
            attempts: attempts,
            firstFailure: firstFailure,
            lastFailure: time
        )
        deadLetters[ExactText(queues[queue].group), default: DeadLetterStore()].append(deadLetter)
    }
}

extension ConsumerState.Unsettled {
    /// The event in the form in which it was queued.
    var event: QueuedEvent {
        QueuedEvent(
            envelope: delivery.envelope,
            position: position,
            attempt: delivery.attempt,
            redeliveries: delivery.redeliveries,
            extras: extras
        )
    }

    /// Returns the event in the form in which it was queued, with the id under which its subscription handles it.
    func event(as id: EventID) -> QueuedEvent {
        var event = event
        event.envelope.id = id
        return event
    }
}
