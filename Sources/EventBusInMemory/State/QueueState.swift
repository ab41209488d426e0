import DequeModule
import EventBus
import HeapModule

/// The identity of a queue, which differs from that of later queues in the same slot.
struct QueueReference: Hashable, Sendable {
    var slot: Int
    var uniqueID: UInt64
}

/// A queue with its ready events and its consumers.
struct QueueState: Sendable {
    /// The number that distinguishes the queue from others in its slot.
    let uniqueID: UInt64
    let name: String
    let group: String
    let singleActiveConsumer: Bool
    /// A Boolean value indicating whether the queue belongs to one broadcast consumer and ends with it.
    let isExclusive: Bool
    var patterns: Set<TopicPattern> = []
    /// A Boolean value indicating whether the queue is gone and its slot is free.
    var isDeleted = false

    /// The events that were never delivered, oldest first.
    var fresh: Deque<QueuedEvent> = []
    /// The events that came back from consumers. They precede those in `fresh`, in their original order.
    var returned: Heap<ReturnedEvent> = []
    private var nextPosition = 0

    /// The consumers' slots in the order of attachment.
    var consumers: [Int] = []
    /// The index in `consumers` at which the search for a free consumer starts.
    private var cursor = 0
    /// The number of deliveries that consumers have not settled.
    var unsettledCount = 0
    /// The publishes that wait for room, oldest first. Those that gave up stay until they are reached.
    var waitingForRoom: Deque<UInt64> = []

    init(uniqueID: UInt64, name: String, group: String, singleActiveConsumer: Bool, isExclusive: Bool) {
        self.uniqueID = uniqueID
        self.name = name
        self.group = group
        self.singleActiveConsumer = singleActiveConsumer
        self.isExclusive = isExclusive
    }

    var readyCount: Int { fresh.count + returned.count }

    /// Assigns the next position to `event` and appends it.
    mutating func append(_ event: consuming QueuedEvent) {
        event.position = nextPosition
        nextPosition += 1
        fresh.append(event)
    }

    /// Returns the position for an event that is delivered directly to a consumer.
    mutating func takePosition() -> Int {
        defer { nextPosition += 1 }
        return nextPosition
    }

    /// Inserts `event` before the last `count` events, but never before one with the same partition key in a queue that
    /// keeps the order of keys.
    ///
    /// - Returns: The number of events that it overtook.
    mutating func append(_ event: consuming QueuedEvent, overtaking count: Int) -> Int {
        event.position = nextPosition
        nextPosition += 1
        var index = fresh.count
        let lowest = max(0, index - count)
        while index > lowest {
            let other = fresh[index - 1]
            let keepsOrder =
                singleActiveConsumer && other.envelope.exactPartitionKey == event.envelope.exactPartitionKey
            if keepsOrder { break }
            index -= 1
        }
        let overtaken = fresh.count - index
        fresh.insert(event, at: index)
        return overtaken
    }

    /// Returns an event from a consumer, before all events that were never delivered.
    mutating func putBack(_ event: consuming QueuedEvent) {
        returned.insert(ReturnedEvent(event: event))
    }

    /// Removes and returns the number of the publish that has waited longest for room.
    mutating func takeWaiting() -> UInt64? {
        waitingForRoom.popFirst()
    }

    /// Removes the ready events.
    mutating func removeAll() {
        fresh.removeAll()
        returned = []
    }

    /// The next event to deliver.
    var first: QueuedEvent? { returned.min?.event ?? fresh.first }

    /// Removes and returns the next event to deliver.
    mutating func takeFirst() -> QueuedEvent? {
        if !returned.isEmpty { return returned.popMin()?.event }
        return fresh.popFirst()
    }

    /// Returns the consumer of the next delivery, in turn. With a single active consumer it is the first one.
    mutating func nextConsumer(in states: [ConsumerState]) -> Int? {
        if singleActiveConsumer {
            guard let first = consumers.first, states[first].hasCredit else { return nil }
            return first
        }
        let count = consumers.count
        if cursor >= count { cursor = 0 }
        for _ in 0..<count {
            let slot = consumers[cursor]
            cursor = cursor + 1 == count ? 0 : cursor + 1
            if states[slot].hasCredit { return slot }
        }
        return nil
    }
}
