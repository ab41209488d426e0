import EventBus

/// The identity of a consumer, which differs from that of later consumers in the same slot.
struct ConsumerReference: Hashable, Sendable {
    var slot: Int
    var uniqueID: UInt64
}

extension BrokerState {
    // MARK: Connections

    /// Registers a transport and assigns it a slot.
    mutating func addConnection() -> Int {
        if let slot = freeConnectionSlots.popLast() {
            // The generation continues, so that tokens of the former transport stay stale.
            connections[slot].isReleased = false
            return slot
        }
        connections.append(ConnectionState())
        return connections.count - 1
    }

    /// Removes a transport that nobody can use any more.
    mutating func releaseConnection(_ connection: Int, _ effects: inout Effects) {
        disconnect(connection, &effects)
        connections[connection].isReleased = true
        freeConnectionSlots.append(connection)
    }

    /// Connects a transport whose `run()` starts. Returns `false` if it is already running.
    mutating func connect(_ connection: Int, _ effects: inout Effects) -> Bool {
        if connections[connection].isRunning { return false }
        connections[connection].isRunning = true
        connections[connection].generation += 1
        for waiter in connections[connection].waitingForRun.values { effects.answer(.wake(waiter)) }
        connections[connection].waitingForRun.removeAll()
        return true
    }

    /// Ends a transport's connection regularly. Its consumers end, and their deliveries return to the queues.
    mutating func disconnect(_ connection: Int, _ effects: inout Effects) {
        connections[connection].isRunning = false
        let ended = connections[connection].generation
        connections[connection].generation += 1
        for consumer in connections[connection].consumers {
            effects.handOver(.revocation(through: ended), to: consumers[consumer].port)
            closeConsumer(consumer, &effects)
        }
        connections[connection].consumers.removeAll()
        // The next check may have been scheduled by this connection, so the others have to take it over.
        nextTimeoutCheck = nil
        needsTimeoutCheck = true
        dispatchMarked(&effects)
    }

    /// Breaks a transport's connection and reconnects immediately. The unsettled deliveries of its consumers are
    /// redelivered and count one more redelivery, or become dead letters at the limit.
    ///
    /// - Parameter maximumRedeliveries: The maximum to which this loss may raise the number of redeliveries, or `nil`
    ///   for no maximum.
    mutating func loseConnection(_ connection: Int, maximumRedeliveries: Int?, _ effects: inout Effects) {
        let lost = connections[connection].generation
        connections[connection].generation += 1
        for consumer in connections[connection].consumers {
            effects.handOver(.revocation(through: lost), to: consumers[consumer].port)
            takeBackAll(from: consumer, vanished: true, maximumRedeliveries: maximumRedeliveries, effects)
            reattach(consumer, isNewConnection: true, &effects)
        }
    }

    // MARK: Consumers

    /// Declares the queue of `specification` and adds a consumer to it.
    mutating func attach(
        _ specification: QueueSpecification,
        port: ConsumerMailbox,
        connection: Int,
        _ effects: inout Effects
    ) throws(EventBusError) -> ConsumerReference {
        let queue = try declare(specification)
        let consumer = ConsumerState(
            uniqueID: makeNumber(),
            specification: specification,
            port: port,
            connection: connection,
            queue: queue
        )
        let slot: Int
        if let free = freeConsumerSlots.popLast() {
            slot = free
            consumers[slot] = consumer
        } else {
            slot = consumers.count
            consumers.append(consumer)
        }
        connections[connection].consumers.append(slot)
        queues[queue].consumers.append(slot)
        dispatch(queue, &effects)
        return ConsumerReference(slot: slot, uniqueID: consumer.uniqueID)
    }

    /// Stops deliveries to a consumer. It may still settle its deliveries.
    ///
    /// As on RabbitMQ, the next consumer of a queue with a single active consumer takes over immediately, although this
    /// one still has earlier deliveries.
    mutating func stop(_ consumer: ConsumerReference, _ effects: inout Effects) {
        let slot = consumer.slot
        guard consumers[slot].uniqueID == consumer.uniqueID, !consumers[slot].isClosed, !consumers[slot].isStopped
        else { return }
        consumers[slot].isStopped = true
        if queues[consumers[slot].queue].isExclusive { unbindAll(consumers[slot].queue) }
        let queue = queues[consumers[slot].queue]
        if consumers[slot].unsettledCount == 0 || queue.singleActiveConsumer && !queue.isExclusive {
            retire(slot, &effects)
        }
        dispatchMarked(&effects)
    }

    /// Returns a consumer's deliveries, as if its channel had been closed and reopened.
    mutating func reopen(_ consumer: ConsumerReference, _ effects: inout Effects) {
        let slot = consumer.slot
        guard consumers[slot].uniqueID == consumer.uniqueID, !consumers[slot].isClosed, !consumers[slot].isStopped
        else { return }
        restartChannel(of: slot, vanished: false, &effects)
        dispatchMarked(&effects)
    }

    /// Closes and reopens a consumer's channel, so that everything unsettled is redelivered.
    ///
    /// - Parameter vanished: `true` if the deliveries count one more redelivery.
    mutating func restartChannel(of slot: Int, vanished: Bool, _ effects: inout Effects) {
        let connection = consumers[slot].connection
        let former = connections[connection].generation
        // The deliveries of the connection's other consumers keep their tokens and are settled by them.
        connections[connection].generation += 1
        effects.handOver(.revocation(through: former), to: consumers[slot].port)
        takeBackAll(from: slot, vanished: vanished, maximumRedeliveries: nil, effects)
        reattach(slot, isNewConnection: false, &effects)
    }

    /// Returns a consumer's deliveries, and delivers nothing to it until it is resumed.
    mutating func suspend(_ consumer: ConsumerReference, _ effects: inout Effects) {
        let slot = consumer.slot
        guard consumers[slot].uniqueID == consumer.uniqueID, !consumers[slot].isClosed, !consumers[slot].isStopped
        else { return }
        consumers[slot].isSuspended = true
        restartChannel(of: slot, vanished: false, &effects)
        dispatchMarked(&effects)
    }

    /// Delivers to a suspended consumer again.
    mutating func resume(_ consumer: ConsumerReference, prefetch: Int, _ effects: inout Effects) {
        let slot = consumer.slot
        guard consumers[slot].uniqueID == consumer.uniqueID, !consumers[slot].isClosed, consumers[slot].isSuspended
        else { return }
        consumers[slot].resume(prefetch: prefetch)
        let queue = consumers[slot].queue
        if !queues[queue].consumers.contains(slot) { queues[queue].consumers.append(slot) }
        dispatch(queue, &effects)
    }

    /// Ends a consumer. Its deliveries return to their queue.
    mutating func close(_ consumer: ConsumerReference, _ effects: inout Effects) {
        let slot = consumer.slot
        guard consumers[slot].uniqueID == consumer.uniqueID, !consumers[slot].isClosed else { return }
        connections[consumers[slot].connection].consumers.removeAll { $0 == slot }
        closeConsumer(slot, &effects)
        dispatchMarked(&effects)
    }

    /// Removes a consumer that receives nothing more from its queue, so that the next one may take over. Has no effect
    /// if it was removed already.
    mutating func retire(_ slot: Int, _ effects: inout Effects) {
        let queue = consumers[slot].queue
        guard let index = queues[queue].consumers.firstIndex(of: slot) else { return }
        queues[queue].consumers.remove(at: index)
        if queues[queue].isExclusive {
            deleteQueue(queue, &effects)
        } else {
            queuesToDispatch.append(queue)
        }
    }

    private mutating func closeConsumer(_ slot: Int, _ effects: inout Effects) {
        takeBackAll(from: slot, vanished: false, maximumRedeliveries: nil, effects)
        if consumers[slot].pausedUntil != nil { pausedCount -= 1 }
        consumers[slot].pausedUntil = nil
        consumers[slot].isStopped = true
        consumers[slot].isClosed = true
        effects.close(consumers[slot].port)
        retire(slot, &effects)
        freeConsumerSlots.append(slot)
    }

    /// Returns a consumer's deliveries to its queue. An exclusive queue may end with them.
    mutating func takeBackAll(from slot: Int, vanished: Bool, maximumRedeliveries: Int?, _ effects: Effects) {
        let queue = consumers[slot].queue
        heldCount -= consumers[slot].heldCount
        let returned = consumers[slot].takeAll()
        queues[queue].unsettledCount -= returned.count
        unsettledCount -= returned.count
        if returned.isEmpty { return }
        queuesToDispatch.append(queue)
        for unsettled in returned {
            var event = unsettled.event
            if vanished, queues[queue].isExclusive {
                // A classic queue has no limit, and tells only whether it has delivered an event before.
                event.redeliveries = 1
            } else if vanished {
                if event.redeliveries >= configuration.deliveryLimit {
                    buryOverLimit(event, from: queue, at: effects.wallTime)
                    continue
                }
                event.redeliveries = min(event.redeliveries + 1, maximumRedeliveries ?? .max)
            }
            queues[queue].putBack(event)
            readyCount += 1
        }
    }

    private mutating func buryOverLimit(_ event: QueuedEvent, from queue: Int, at time: EventTime) {
        bury(
            event,
            from: queue,
            failure: Failure(
                reason: .deliveryLimit,
                errorType: "",
                message: "consumers vanished with the delivery \(event.redeliveries + 1) times"
            ),
            attempts: event.attempt - 1,
            firstFailure: event.extras?.firstFailure,
            time: time
        )
    }

    /// Reactivates a consumer on a new channel, as the last one in its queue. A suspended one gives up its place.
    ///
    /// - Parameter isNewConnection: `true` if an exclusive queue has ended with the connection, including its events.
    private mutating func reattach(_ slot: Int, isNewConnection: Bool, _ effects: inout Effects) {
        let former = consumers[slot].queue
        if consumers[slot].isStopped {
            retire(slot, &effects)
            return
        }
        var queue = former
        queues[former].consumers.removeAll { $0 == slot }
        if queues[former].isExclusive, isNewConnection {
            deleteQueue(former, &effects)
            queue = declareExclusive(consumers[slot].specification)
            consumers[slot].queue = queue
        }
        // An exclusive queue ends with its last consumer, so that one stays in any case.
        if !consumers[slot].isSuspended || queues[queue].isExclusive { queues[queue].consumers.append(slot) }
        queuesToDispatch.append(queue)
    }

    /// Delivers from the queues that the current step has marked.
    mutating func dispatchMarked(_ effects: inout Effects) {
        if let queue = queuesToDispatch.popLast() { dispatch(queue, &effects) }
    }
}
