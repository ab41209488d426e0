import EventBus

/// Everything the broker knows, as a state machine: no lock, no clock, no continuation is touched here. Each step notes
/// in its ``Effects`` what is to be done once the lock is released.
struct BrokerState: Sendable {
    var configuration: InMemoryBroker.Configuration
    var faults: FaultInjector?

    var connections: [ConnectionState] = []
    var queues: [QueueState] = []
    var queueSlots: [ExactString: Int] = [:]
    var consumers: [ConsumerState] = []
    var routes = RouteTable()
    var timers = TimerQueue()
    var deadLetters: [ExactString: DeadLetterStore] = [:]
    /// Scheduled events that no queue was bound for when they were due.
    var unroutableDelays = DeadLetterStore()

    /// Publishes that wait for room, by number.
    var blockedPublishes: [UInt64: BlockedPublish] = [:]
    /// When those whose deadline has passed are looked for next.
    var overdueLook: AnyClock.Instant?
    /// Requests without a reply, by number.
    var pendingRequests: [UInt64: OneShot<RequestAnswer>] = [:]
    /// Timer loops that wait for something to be due earlier, by number.
    var timerLoops: [UInt64: OneShot<Void>] = [:]
    /// Who waits in `settled()`, by number.
    var settledWaiters: [UInt64: OneShot<Void>] = [:]

    /// Deliveries at consumers, over all queues.
    var unsettledCount = 0
    /// How many of them wait for a retry in their lane, or waited.
    var heldCount = 0
    /// Consumers whose subscriptions are paused.
    var pausedCount = 0
    /// Events ready in queues, over all queues.
    var readyCount = 0

    /// Whether the present step made the first delivery in a while.
    var needsTimeoutCheck = false

    var freeQueueSlots: [Int] = []
    var freeConsumerSlots: [Int] = []
    var freeConnectionSlots: [Int] = []
    /// Queues that may have something for a consumer since the present step changed them.
    var queuesToDispatch: [Int] = []
    private(set) var lastNumber: UInt64 = 0
    private(set) var lastSequence: UInt64 = 0

    /// When deliveries were made, for the consumer timeout.
    var deliveryAges = DeliveryAges()
    /// The time of the present step, on a manual clock with a consumer timeout.
    var stepTime: AnyClock.Instant?
    /// When the consumer timeout is looked at next; `nil` while nobody would look.
    var nextTimeoutCheck: AnyClock.Instant?
    /// Whether each delivery notes its time, which a test on a manual clock relies on.
    var notesDeliveryTimes: Bool { stepTime != nil }

    init(configuration: InMemoryBroker.Configuration, faults: FaultInjector?) {
        self.configuration = configuration
        self.faults = faults
    }

    /// A number that nothing else has.
    mutating func makeNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }

    func reference(toQueue slot: Int) -> QueueReference {
        QueueReference(slot: slot, uniqueID: queues[slot].uniqueID)
    }

    func isAlive(_ queue: QueueReference) -> Bool {
        queues[queue.slot].uniqueID == queue.uniqueID && !queues[queue.slot].isDeleted
    }

    // MARK: Delivering

    /// Puts a new event at the end of a queue, or into the hands of a consumer that waits for one.
    mutating func enqueue(_ envelope: Envelope, extras: EventExtras?, to queue: Int, _ effects: inout Effects) {
        if faults == nil, queues[queue].readyCount == 0, let consumer = queues[queue].nextConsumer(in: consumers) {
            // The event is never queued: copying an envelope once less is worth the second way.
            let position = queues[queue].takePosition()
            let delivery = makeDelivery(envelope, position: position, extras: extras, queue: queue, consumer: consumer)
            effects.handOver(.delivery(delivery), to: consumers[consumer].port)
        } else {
            enqueue(QueuedEvent(envelope: envelope, extras: extras), to: queue, &effects)
        }
    }

    /// Puts an event at the end of a queue, and delivers what can be delivered.
    mutating func enqueue(_ event: consuming QueuedEvent, to queue: Int, _ effects: inout Effects) {
        queues[queue].append(event)
        readyCount += 1
        dispatch(queue, &effects)
    }

    /// Delivers from `queue`, and from those that a lost connection brought into play, until there is no event or no
    /// consumer with credit.
    mutating func dispatch(_ queue: Int, _ effects: inout Effects) {
        dispatchAlone(queue, &effects)
        while let next = queuesToDispatch.popLast() { dispatchAlone(next, &effects) }
    }

    private mutating func dispatchAlone(_ queue: Int, _ effects: inout Effects) {
        while queues[queue].readyCount > 0, let consumer = queues[queue].nextConsumer(in: consumers),
            let event = queues[queue].takeFirst()
        {
            readyCount -= 1
            if faults == nil {
                deliver(event, from: queue, to: consumer, fault: nil, &effects)
            } else {
                deliverWithFaults(event, from: queue, to: consumer, &effects)
            }
            admitBlockedPublish(to: queue, &effects)
        }
    }

    mutating func deliver(
        _ event: QueuedEvent,
        from queue: Int,
        to consumer: Int,
        fault: InjectedFault?,
        _ effects: inout Effects
    ) {
        let delivery = makeDelivery(
            event.envelope,
            position: event.position,
            attempt: event.attempt,
            redeliveries: event.redeliveries,
            extras: event.extras,
            queue: queue,
            consumer: consumer,
            fault: fault
        )
        effects.handOver(.delivery(delivery), to: consumers[consumer].port)
    }

    private mutating func makeDelivery(
        _ envelope: Envelope,
        position: Int,
        attempt: Int = 1,
        redeliveries: Int = 0,
        extras: EventExtras?,
        queue: Int,
        consumer: Int,
        fault: InjectedFault? = nil
    ) -> Delivery {
        lastSequence += 1
        if let stepTime {
            deliveryAges.note(lastSequence, at: stepTime)
        } else if nextTimeoutCheck == nil, configuration.consumerTimeout != nil {
            needsTimeoutCheck = true
        }
        queues[queue].unsettledCount += 1
        unsettledCount += 1
        return consumers[consumer].deliver(
            envelope,
            position: position,
            attempt: attempt,
            redeliveries: redeliveries,
            extras: extras,
            generation: connections[consumers[consumer].connection].generation,
            sequence: lastSequence,
            fault: fault
        )
    }

    // MARK: Waiting for quiescence

    /// Ends a step: wakes who waits in `settled()` when the step may have brought what they wait for.
    mutating func finishStep(_ effects: inout Effects) {
        if needsTimeoutCheck {
            needsTimeoutCheck = false
            for loop in timerLoops.values { effects.answer(.wake(loop)) }
            timerLoops.removeAll()
        }
        if settledWaiters.isEmpty { return }
        // Whoever is woken looks again; a spurious wake-up costs a test a microsecond.
        guard unsettledCount == 0 || heldCount > 0 || pausedCount > 0 else { return }
        for waiter in settledWaiters.values { effects.answer(.wake(waiter)) }
        settledWaiters.removeAll()
    }
}
