import EventBus

/// Names a consumer, and no other that has its place later.
struct ConsumerReference: Hashable, Sendable {
    var slot: Int
    var uniqueID: UInt64
}

extension BrokerState {
    // MARK: Connections

    /// Notes a transport and gives it a place.
    mutating func addConnection() -> Int {
        if let slot = freeConnectionSlots.popLast() {
            // The generation goes on, so that tokens of the former transport stay stale.
            connections[slot].isReleased = false
            return slot
        }
        connections.append(ConnectionState())
        return connections.count - 1
    }

    /// Forgets a transport that no one can use any more.
    mutating func releaseConnection(_ connection: Int, _ effects: inout Effects) {
        disconnect(connection, &effects)
        connections[connection].isReleased = true
        freeConnectionSlots.append(connection)
    }

    /// Connects a transport whose `run()` begins; `false` if it runs already.
    mutating func connect(_ connection: Int, _ effects: inout Effects) -> Bool {
        if connections[connection].isRunning { return false }
        connections[connection].isRunning = true
        connections[connection].generation += 1
        for waiter in connections[connection].waitingForRun.values { effects.answer(.wake(waiter)) }
        connections[connection].waitingForRun.removeAll()
        return true
    }

    /// Ends a transport's connection in good order: its consumers are gone, what they held is back in the queues.
    mutating func disconnect(_ connection: Int, _ effects: inout Effects) {
        connections[connection].isRunning = false
        let ended = connections[connection].generation
        connections[connection].generation += 1
        for consumer in connections[connection].consumers {
            effects.handOver(.revocation(through: ended), to: consumers[consumer].port)
            closeConsumer(consumer, &effects)
        }
        connections[connection].consumers.removeAll()
        // The next look may have been this connection's: the others are to take it over.
        nextTimeoutCheck = nil
        needsTimeoutCheck = true
        dispatchMarked(&effects)
    }

    /// Breaks a transport's connection and makes it again at once: what its consumers held comes again with one more
    /// redelivery, or is a dead letter at the limit.
    ///
    /// - Parameter maximumRedeliveries: How far the count of redeliveries may rise by this loss; `nil` for no bound.
    mutating func loseConnection(_ connection: Int, maximumRedeliveries: Int?, _ effects: inout Effects) {
        let lost = connections[connection].generation
        connections[connection].generation += 1
        for consumer in connections[connection].consumers {
            effects.handOver(.revocation(through: lost), to: consumers[consumer].port)
            takeBackAll(from: consumer, vanished: true, maximumRedeliveries: maximumRedeliveries)
            reattach(consumer, &effects)
        }
    }

    // MARK: Consumers

    /// Declares the queue of `specification` and adds a consumer to it.
    mutating func attach(
        _ specification: QueueSpecification,
        port: ConsumerPort,
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

    /// Sends a consumer no more; what it holds it may still settle.
    ///
    /// As on RabbitMQ, the next consumer of a queue with a single active one takes over at once, although this one still
    /// has earlier deliveries.
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

    /// Gives back what a consumer holds, as if its channel had been closed and opened again.
    mutating func reopen(_ consumer: ConsumerReference, _ effects: inout Effects) {
        let slot = consumer.slot
        guard consumers[slot].uniqueID == consumer.uniqueID, !consumers[slot].isClosed, !consumers[slot].isStopped
        else { return }
        let connection = consumers[slot].connection
        let former = connections[connection].generation
        // What the connection's other consumers hold keeps its tokens, and is settled by them.
        connections[connection].generation += 1
        effects.handOver(.revocation(through: former), to: consumers[slot].port)
        takeBackAll(from: slot, vanished: false, maximumRedeliveries: nil)
        reattach(slot, &effects)
        dispatchMarked(&effects)
    }

    /// Ends a consumer; what it holds goes back to its queue.
    mutating func close(_ consumer: ConsumerReference, _ effects: inout Effects) {
        let slot = consumer.slot
        guard consumers[slot].uniqueID == consumer.uniqueID, !consumers[slot].isClosed else { return }
        connections[consumers[slot].connection].consumers.removeAll { $0 == slot }
        closeConsumer(slot, &effects)
        dispatchMarked(&effects)
    }

    /// Takes a consumer that will get nothing more out of its queue, so that the next in line may take over. A consumer
    /// that is out of its queue already is left alone.
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
        takeBackAll(from: slot, vanished: false, maximumRedeliveries: nil)
        consumers[slot].isStopped = true
        consumers[slot].isClosed = true
        effects.close(consumers[slot].port)
        retire(slot, &effects)
        freeConsumerSlots.append(slot)
    }

    /// Puts what a consumer held back into its queue.
    mutating func takeBackAll(from slot: Int, vanished: Bool, maximumRedeliveries: Int?) {
        let queue = consumers[slot].queue
        heldCount -= consumers[slot].heldCount
        let returned = consumers[slot].takeAll()
        queues[queue].unsettledCount -= returned.count
        unsettledCount -= returned.count
        // A queue of its own ends with its consumer, and so does what is in it.
        if queues[queue].isExclusive || returned.isEmpty { return }
        queuesToDispatch.append(queue)
        for unsettled in returned {
            var event = unsettled.event
            if vanished {
                if event.redeliveries >= configuration.deliveryLimit {
                    buryOverLimit(event, from: queue)
                    continue
                }
                event.redeliveries = min(event.redeliveries + 1, maximumRedeliveries ?? .max)
            }
            queues[queue].putBack(event)
            readyCount += 1
        }
    }

    private mutating func buryOverLimit(_ event: QueuedEvent, from queue: Int) {
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
            time: .now()
        )
    }

    /// Puts a consumer whose connection was made again back to work, at the end of the line.
    mutating func reattach(_ slot: Int, _ effects: inout Effects) {
        let former = consumers[slot].queue
        if consumers[slot].isStopped {
            retire(slot, &effects)
            return
        }
        var queue = former
        queues[former].consumers.removeAll { $0 == slot }
        if queues[former].isExclusive {
            deleteQueue(former, &effects)
            queue = declareExclusive(consumers[slot].specification)
            consumers[slot].queue = queue
        }
        queues[queue].consumers.append(slot)
        queuesToDispatch.append(queue)
    }

    /// Delivers from the queues that the present step brought into play.
    mutating func dispatchMarked(_ effects: inout Effects) {
        if let queue = queuesToDispatch.popLast() { dispatch(queue, &effects) }
    }
}
