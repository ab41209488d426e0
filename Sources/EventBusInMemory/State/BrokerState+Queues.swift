import EventBus

extension BrokerState {
    /// Creates the queue of `specification`, or returns the existing one, and binds it.
    mutating func declare(_ specification: QueueSpecification) throws(EventBusError) -> Int {
        if specification.broadcast { return declareExclusive(specification) }
        let name = specification.queueName
        let slot: Int
        if let existing = queueSlots[ExactText(name)] {
            guard queues[existing].singleActiveConsumer == specification.singleActiveConsumer else {
                throw EventBusError(
                    .topologyClash,
                    "queue \(name.quotedForError) exists with singleActiveConsumer = "
                        + "\(queues[existing].singleActiveConsumer), the subscription asks for "
                        + "\(specification.singleActiveConsumer); give the subscription another name, or the same ordering"
                )
            }
            slot = existing
        } else {
            slot = makeQueue(name, for: specification)
        }
        for pattern in specification.formerPatterns where !specification.patterns.contains(pattern) {
            if queues[slot].patterns.remove(pattern) != nil { routes.unbind(pattern, from: slot) }
        }
        bind(slot, to: specification.patterns)
        return slot
    }

    /// Creates a queue for a single consumer.
    mutating func declareExclusive(_ specification: QueueSpecification) -> Int {
        let slot = makeQueue("\(specification.queueName).\(makeNumber())", for: specification)
        bind(slot, to: specification.patterns)
        return slot
    }

    /// Removes every binding of a queue, so that it receives nothing new.
    mutating func unbindAll(_ slot: Int) {
        for pattern in queues[slot].patterns { routes.unbind(pattern, from: slot) }
        queues[slot].patterns.removeAll()
    }

    /// Deletes a queue and its ready events.
    mutating func deleteQueue(_ slot: Int, _ effects: inout Effects) {
        unbindAll(slot)
        readyCount -= queues[slot].readyCount
        queues[slot].removeAll()
        queues[slot].isDeleted = true
        queueSlots[ExactText(queues[slot].name)] = nil
        admitBlockedPublish(to: slot, &effects)
        freeQueueSlots.append(slot)
    }

    private mutating func makeQueue(_ name: String, for specification: QueueSpecification) -> Int {
        let queue = QueueState(
            uniqueID: makeNumber(),
            name: name,
            group: specification.group,
            singleActiveConsumer: specification.singleActiveConsumer,
            isExclusive: specification.broadcast
        )
        let slot: Int
        if let free = freeQueueSlots.popLast() {
            slot = free
            queues[slot] = queue
        } else {
            slot = queues.count
            queues.append(queue)
        }
        queueSlots[ExactText(name)] = slot
        return slot
    }

    private mutating func bind(_ slot: Int, to patterns: [TopicPattern]) {
        for pattern in patterns where queues[slot].patterns.insert(pattern).inserted {
            routes.bind(pattern, to: slot)
        }
    }
}
