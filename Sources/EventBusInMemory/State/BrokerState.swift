import EventBus

/// The whole state of the broker, as a state machine. It touches no lock, no clock and no continuation. Each step
/// records in its ``Effects`` the work to do after the lock is released.
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
    /// The scheduled events that matched no queue when they were due.
    var unroutableDelays = DeadLetterStore()

    /// The publishes that wait for room, by number.
    var blockedPublishes: [UInt64: BlockedPublish] = [:]
    /// The time of the next check for publishes whose deadline has passed.
    var overdueLook: AnyClock.Instant?
    /// The requests whose callers wait, by number.
    var pendingRequests: [UInt64: PendingRequest] = [:]
    /// The timer loops that wait for earlier work, by number.
    var timerLoops: [UInt64: OneShot<Void>] = [:]
    /// The callers that wait in `settled()`, by number.
    var settledWaiters: [UInt64: OneShot<Void>] = [:]

    /// The number of unsettled deliveries in all queues.
    var unsettledCount = 0
    /// The number of unsettled deliveries that wait, or have waited, for a retry in the order of their key.
    var heldCount = 0
    /// The number of consumers whose subscriptions are paused.
    var pausedCount = 0
    /// The number of ready events in all queues.
    var readyCount = 0

    /// A Boolean value indicating whether the current step made the first delivery in a while.
    var needsTimeoutCheck = false

    var freeQueueSlots: [Int] = []
    var freeConsumerSlots: [Int] = []
    var freeConnectionSlots: [Int] = []
    /// The queues that may have an event for a consumer because of the current step.
    var queuesToDispatch: [Int] = []
    private(set) var lastNumber: UInt64 = 0
    private(set) var lastSequence: UInt64 = 0

    /// A Boolean value indicating whether an event with an expiration was published.
    var hasExpirations = false
    /// The time by which events have expired.
    var expiryTime: AnyClock.Instant?

    /// The times of deliveries, for the consumer timeout.
    var deliveryAges = DeliveryAges()
    /// The time of the current step, on a manual clock with a consumer timeout.
    var stepTime: AnyClock.Instant?
    /// The time of the next consumer timeout check, or `nil` if none is scheduled.
    var nextTimeoutCheck: AnyClock.Instant?
    /// A Boolean value indicating whether each delivery records its time, which tests on a manual clock rely on.
    var notesDeliveryTimes: Bool { stepTime != nil }

    init(configuration: InMemoryBroker.Configuration, faults: FaultInjector?) {
        self.configuration = configuration
        self.faults = faults
    }

    /// Returns a unique number.
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

    /// Adds a new event to the end of a queue, or delivers it directly to a waiting consumer.
    mutating func enqueue(_ envelope: Envelope, extras: EventMetadata?, to queue: Int, _ effects: inout Effects) {
        if faults == nil, queues[queue].readyCount == 0, let consumer = queues[queue].nextConsumer(in: consumers) {
            // The event is never queued. The separate path saves a copy of the envelope.
            let position = queues[queue].takePosition()
            let delivery = makeDelivery(envelope, position: position, extras: extras, queue: queue, consumer: consumer)
            effects.handOver(.delivery(delivery), to: consumers[consumer].port)
        } else {
            enqueue(QueuedEvent(envelope: envelope, extras: extras), to: queue, &effects)
        }
    }

    /// Adds an event to the end of a queue, and delivers as many events as possible.
    mutating func enqueue(_ event: consuming QueuedEvent, to queue: Int, _ effects: inout Effects) {
        queues[queue].append(event)
        readyCount += 1
        dispatch(queue, &effects)
    }

    /// Delivers from `queue`, and from queues affected by a lost connection, until no event or no consumer with credit
    /// is left.
    mutating func dispatch(_ queue: Int, _ effects: inout Effects) {
        dispatchAlone(queue, &effects)
        while let next = queuesToDispatch.popLast() { dispatchAlone(next, &effects) }
    }

    private mutating func dispatchAlone(_ queue: Int, _ effects: inout Effects) {
        while queues[queue].readyCount > 0, let consumer = queues[queue].nextConsumer(in: consumers),
            let event = queues[queue].takeFirst()
        {
            readyCount -= 1
            if hasExpirations, isExpired(event) {
                buryExpired(event, from: queue, at: effects.wallTime)
            } else if faults == nil {
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
        extras: EventMetadata?,
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

    /// Ends a step. Wakes the callers of `settled()` if the step may have changed their result.
    mutating func finishStep(_ effects: inout Effects) {
        if needsTimeoutCheck {
            needsTimeoutCheck = false
            for loop in timerLoops.values { effects.answer(.wake(loop)) }
            timerLoops.removeAll()
        }
        if settledWaiters.isEmpty { return }
        // Every woken caller checks again. A spurious wake-up costs a test a microsecond.
        guard unsettledCount == 0 || heldCount > 0 || pausedCount > 0 else { return }
        for waiter in settledWaiters.values { effects.answer(.wake(waiter)) }
        settledWaiters.removeAll()
    }
}
