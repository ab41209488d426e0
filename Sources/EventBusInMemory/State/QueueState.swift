import DequeModule
import EventBus
import HeapModule

/// Names a queue, and no other that has its place later.
struct QueueReference: Hashable, Sendable {
    var slot: Int
    var uniqueID: UInt64
}

/// A queue: what is ready in it, and who consumes it.
struct QueueState: Sendable {
    /// Tells the queue from others that have its place before or after it.
    let uniqueID: UInt64
    let name: String
    let group: String
    let singleActiveConsumer: Bool
    /// The broadcast consumer that the queue lives and dies with.
    let isExclusive: Bool
    var patterns: Set<TopicPattern> = []
    /// Whether the queue is gone and its place is free.
    var isDeleted = false

    /// What was never delivered, oldest first.
    var fresh: Deque<QueuedEvent> = []
    /// What came back from consumers. All of it stands before `fresh`, in its original order.
    var returned: Heap<ReturnedEvent> = []
    private var nextPosition = 0

    /// The consumers' slots in the order of attachment.
    var consumers: [Int] = []
    /// The place in `consumers` at which the search for a free consumer begins.
    private var cursor = 0
    /// Deliveries that consumers hold.
    var unsettledCount = 0
    /// Publishes that wait for room, oldest first. Those that gave up stay until they are met.
    var waitingForRoom: Deque<UInt64> = []

    init(uniqueID: UInt64, name: String, group: String, singleActiveConsumer: Bool, isExclusive: Bool) {
        self.uniqueID = uniqueID
        self.name = name
        self.group = group
        self.singleActiveConsumer = singleActiveConsumer
        self.isExclusive = isExclusive
    }

    var readyCount: Int { fresh.count + returned.count }

    /// Gives `event` the next position and puts it at the end.
    mutating func append(_ event: consuming QueuedEvent) {
        event.position = nextPosition
        nextPosition += 1
        fresh.append(event)
    }

    /// The position for an event that goes straight to a consumer.
    mutating func takePosition() -> Int {
        defer { nextPosition += 1 }
        return nextPosition
    }

    /// Puts `event` before the last `count` events, but never before one with its own partition key where the queue
    /// keeps the order of keys.
    ///
    /// - Returns: How many it overtook.
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

    /// Puts what came back from a consumer before everything that was never delivered.
    mutating func putBack(_ event: consuming QueuedEvent) {
        returned.insert(ReturnedEvent(event: event))
    }

    /// Takes the number of the publish that waits longest for room.
    mutating func takeWaiting() -> UInt64? {
        waitingForRoom.popFirst()
    }

    /// Drops what is ready.
    mutating func removeAll() {
        fresh.removeAll()
        returned = []
    }

    /// Takes the event that is to be delivered next.
    mutating func takeFirst() -> QueuedEvent? {
        if !returned.isEmpty { return returned.popMin()?.event }
        return fresh.popFirst()
    }

    /// The consumer that gets the next delivery: in turn, or with a single active consumer the first in line.
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
