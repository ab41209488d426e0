import EventBus

extension BrokerState {
    /// Routes an event, with the faults of publishing.
    mutating func routeWithFaults(
        _ event: QueuedEvent,
        to targets: [Int],
        now: AnyClock.Instant,
        _ effects: inout Effects
    ) {
        // A connection that drops during the publish deletes the queues of its broadcast consumers.
        let targets = targets.map { reference(toQueue: $0) }
        let isSentAgain = strike(.lostConfirm, event.envelope, in: "") != nil
        for _ in 0..<(isSentAgain ? 2 : 1) {
            for target in targets where isAlive(target) {
                let queue = target.slot
                let name = queues[queue].name
                let isDoubled = strike(.duplicateDelivery, event.envelope, in: name) != nil
                for _ in 0..<(isDoubled ? 2 : 1) { place(event, in: queue, now: now, &effects) }
                dispatch(queue, &effects)
            }
        }
    }

    /// Hands over an event, with the faults of delivering.
    mutating func deliverWithFaults(
        _ event: QueuedEvent,
        from queue: Int,
        to consumer: Int,
        _ effects: inout Effects
    ) {
        let name = queues[queue].name
        if strike(.connectionLoss, event.envelope, in: name) != nil {
            // The event was in flight and is not lost. If its queue ends with the connection, the event ends too,
            // because broadcasts are delivered at most once across connections.
            queues[queue].putBack(event)
            readyCount += 1
            // Half of the limit is reserved for losses that were not injected.
            let bound = max(1, configuration.deliveryLimit / 2)
            loseConnection(consumers[consumer].connection, maximumRedeliveries: bound, &effects)
            return
        }
        let fault = strike(.handlerCrash, event.envelope, in: name).map { bits -> InjectedFault in
            switch bits % 3 {
            case 0: .crashBeforeHandler
            case 1: .crashAfterHandler
            default: .crashAfterRecord
            }
        }
        deliver(event, from: queue, to: consumer, fault: fault, &effects)
    }

    private mutating func place(
        _ event: QueuedEvent,
        in queue: Int,
        now: AnyClock.Instant,
        _ effects: inout Effects
    ) {
        let name = queues[queue].name
        let isOrdered = queues[queue].singleActiveConsumer && event.envelope.partitionKey != nil
        if !isOrdered, let bits = strike(.slowDelivery, event.envelope, in: name) {
            let due = now.advanced(by: .milliseconds(Int64(1 + bits % 50)))
            startTimer(.enqueue(event, reference(toQueue: queue)), due: due, &effects)
            return
        }
        readyCount += 1
        guard let bits = faults?.strikes(.reordering, event.envelope, in: name) else {
            queues[queue].append(event)
            return
        }
        if queues[queue].append(event, overtaking: Int(1 + bits % 3)) > 0 {
            faults?.record(.reordering, event.envelope, in: name)
        }
    }

    private mutating func strike(_ kind: FaultPlan.Kind, _ envelope: Envelope, in queue: String) -> UInt64? {
        guard let bits = faults?.strikes(kind, envelope, in: queue) else { return nil }
        faults?.record(kind, envelope, in: queue)
        return bits
    }
}
