import ConnectionThread
import DequeModule
import EventBus

/// A state machine for publisher confirms: the events that wait for a channel, the unconfirmed events, and the outcome
/// of each.
///
/// It is told the events and the time, and returns the events to send and the tokens to resolve. Every token is
/// returned exactly once.
struct PublishStateMachine<Token> {
    /// An event to publish.
    struct Item {
        /// The id of this publish. Later ones have greater ids.
        var id: UInt64
        var publish: AMQPPublish
        /// The outcome of a confirmed event that was not returned.
        var outcome: PublishOutcome
        var deadline: MonotonicTime
        /// A Boolean value indicating whether it is sent again after the connection was lost.
        var isResent = true
        var token: Token
        /// A Boolean value indicating whether it was sent on an earlier connection, so that the broker may have it.
        var wasSent = false
        /// A Boolean value indicating whether it may be the event for which the broker closed a channel, so that it has
        /// to be sent alone.
        var isSuspect = false
        /// The number of consecutive times that the broker closed the whole connection with an error while it was in
        /// flight.
        var closedConnections = 0
    }

    /// The outcome of an event.
    enum Resolution: Equatable {
        case confirmed(PublishOutcome)
        /// The broker refused the event.
        case rejected
        /// The broker closed the channel because of the event.
        case refused(PublishRefusal)
        /// The event cannot be sent over the connection.
        case unsendable(WireProblem)
        /// The event is larger than the broker accepts.
        case tooLarge
        /// The deadline passed, and the broker does not have the event.
        case timedOut
        /// The deadline passed while the broker accepted nothing.
        case blocked
        /// The event was sent, and the outcome is unknown.
        case indeterminate
        /// The event was cancelled before it was sent.
        case cancelled
    }

    typealias Resolved = (token: Token, resolution: Resolution)

    /// The slot of a delivery tag.
    private struct Slot {
        let id: UInt64
        /// The event, or `nil` after its caller was answered. A confirm may still arrive and is ignored then.
        var item: Item?
        var isReturned = false
    }

    private let maximumCount: Int
    private let maximumBytes: Int
    private var waiting = PublishBacklog<Item>()
    private var slots = Deque<Slot>()
    /// A Boolean value indicating whether the slots' ids increase, which is not the case after an event came back from
    /// the suspects.
    private var slotsAreSorted = true
    private var deadlines = DeadlineHeap()
    private var firstTag: UInt64 = 1
    private var bytes = 0
    /// The number of unconfirmed events whose callers wait.
    private(set) var unconfirmed = 0
    private(set) var isConnected = false
    /// A Boolean value indicating whether the event taken last had been sent before.
    private var lastTaken = false
    /// A Boolean value indicating whether the broker has reported that it currently accepts nothing.
    var isBlocked = false

    init(maximumCount: Int, maximumBytes: Int) {
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
    }

    /// The number of events that have not been sent on this connection.
    var waitingCount: Int { waiting.count }

    /// Returns a Boolean value indicating whether there is an unconfirmed event for which `isMeant` returns `true`.
    func hasUnconfirmed(where isMeant: (AMQPPublish) -> Bool) -> Bool {
        slots.contains { $0.item.map { isMeant($0.publish) } ?? false }
    }

    /// The unconfirmed event that was sent first.
    var firstUnconfirmed: AMQPPublish? {
        slots.first?.item?.publish
    }

    mutating func add(_ item: Item) {
        if deadlines.isStale(count: waiting.count + unconfirmed) { resetDeadlines() }
        deadlines.insert(item.deadline, id: item.id)
        waiting.insert(item, id: item.id, size: item.publish.size)
    }

    // MARK: Sending

    /// Moves the next event to the window, if the window and the broker allow one.
    ///
    /// It is moved before it is sent, because a send may end the connection, and then the event is an unconfirmed one.
    mutating func takeNext() -> AMQPPublish? {
        guard isConnected, !isBlocked, unconfirmed < maximumCount, let size = waiting.firstSize else { return nil }
        // A single event may exceed the window, because otherwise it would never be sent.
        guard unconfirmed == 0 || bytes + size <= maximumBytes, var item = waiting.popFirst() else { return nil }
        lastTaken = item.wasSent
        item.wasSent = true
        bytes += item.publish.size
        unconfirmed += 1
        let publish = item.publish
        slotsAreSorted = slots.isEmpty || (slotsAreSorted && slots[slots.count - 1].id < item.id)
        slots.append(Slot(id: item.id, item: item))
        return publish
    }

    /// Undoes ``takeNext()``, because the socket had no room for the event.
    mutating func putBack() {
        guard var item = untake() else { return }
        item.wasSent = lastTaken
        waiting.insert(item, id: item.id, size: item.publish.size)
    }

    /// Resolves the event of ``takeNext()`` as unsendable.
    mutating func dropTaken(_ problem: WireProblem, _ resolved: inout [Resolved]) {
        guard let item = untake() else { return }
        resolved.append((item.token, .unsendable(problem)))
    }

    private mutating func untake() -> Item? {
        guard let item = slots.popLast()?.item else { return nil }
        bytes -= item.publish.size
        unconfirmed -= 1
        return item
    }

    // MARK: Events from the broker

    /// Starts a new channel in confirm mode, whose delivery tags begin at 1.
    mutating func connected(isBlocked: Bool = false) {
        isConnected = true
        self.isBlocked = isBlocked
        clearSlots()
    }

    /// Handles the end of the channel. Its unconfirmed events wait again, in their order and ahead of the rest.
    ///
    /// - Parameters:
    ///   - closedByBroker: `true` if the broker closed the connection with an error, perhaps because of one of them.
    ///   - isSuspect: A closure that selects events to remove instead.
    /// - Returns: The removed events.
    @discardableResult
    mutating func disconnected(
        closedByBroker: Bool = false,
        takingOut isSuspect: (Item) -> Bool = { _ in false },
        _ resolved: inout [Resolved]
    ) -> [Item] {
        isConnected = false
        var suspects: [Item] = []
        var lost: [Item] = []
        for case var item? in slots.lazy.map(\.item) {
            if closedByBroker { item.closedConnections += 1 }
            if isSuspect(item) {
                suspects.append(item)
            } else if item.isResent {
                lost.append(item)
            } else {
                resolved.append((item.token, .indeterminate))
            }
        }
        for item in lost.reversed() { waiting.insert(item, id: item.id, size: item.publish.size) }
        clearSlots()
        return suspects
    }

    private mutating func clearSlots() {
        firstTag = 1
        slots = []
        slotsAreSorted = true
        bytes = 0
        unconfirmed = 0
    }

    /// Records that the broker returned an event because no queue matched. Its confirm follows.
    ///
    /// One event may be in flight several times, for example to the dead letters of two groups.
    mutating func returned(messageID: String?, exchange: String, routingKey: String) {
        for index in slots.indices {
            guard !slots[index].isReturned, let publish = slots[index].item?.publish,
                publish.properties.messageID == messageID, publish.routingKey == routingKey,
                publish.exchange == exchange
            else { continue }
            slots[index].isReturned = true
            return
        }
    }

    /// Records that the broker confirmed or refused one event, or all up to it.
    mutating func confirmed(tag: UInt64, multiple: Bool, isAcknowledged: Bool, _ resolved: inout [Resolved]) {
        // The peer's numbers are not trusted to be inside the window.
        guard tag >= firstTag, tag - firstTag < UInt64(slots.count) else { return }
        let last = Int(tag - firstTag)
        for index in (multiple ? 0 : last)...last { settle(index, isAcknowledged, &resolved) }
        dropSettled()
    }

    private mutating func dropSettled() {
        while let first = slots.first, first.item == nil {
            slots.removeFirst()
            firstTag += 1
        }
    }

    private mutating func settle(_ index: Int, _ isAcknowledged: Bool, _ resolved: inout [Resolved]) {
        guard let item = takeItem(at: index) else { return }
        let outcome = slots[index].isReturned ? .unroutable : item.outcome
        resolved.append((item.token, isAcknowledged ? .confirmed(outcome) : .rejected))
    }

    /// Removes the event from a slot, which is settled then. Returns `nil` if it was settled before.
    private mutating func takeItem(at index: Int) -> Item? {
        var item: Item?
        swap(&item, &slots[index].item)
        guard let item else { return nil }
        bytes -= item.publish.size
        unconfirmed -= 1
        return item
    }

    /// The delivery tag of the event that was taken last.
    var lastTag: UInt64 { firstTag + UInt64(slots.count) - 1 }

    // MARK: Giving up

    /// The earliest deadline of all unresolved events, or an earlier one of a resolved event.
    var earliestDeadline: MonotonicTime? { deadlines.earliest }

    /// Gives up every event whose deadline has passed.
    mutating func expire(at now: MonotonicTime, _ resolved: inout [Resolved]) {
        while let id = deadlines.popDue(at: now) { giveUp(id, isBlocked ? .blocked : .timedOut, &resolved) }
    }

    /// Gives up the event with this id. It is cancelled if it was not sent.
    mutating func cancel(_ id: UInt64, _ resolved: inout [Resolved]) {
        giveUp(id, .cancelled, &resolved)
    }

    /// Gives up all events that wait to be sent.
    mutating func cancelWaiting(_ resolved: inout [Resolved]) {
        for item in takeWaiting(where: { _ in true }) {
            resolved.append((item.token, item.wasSent ? .indeterminate : .cancelled))
        }
    }

    /// Gives up waiting events that are larger than the broker accepts, because one of them closed the channel.
    mutating func refuse(largerThan limit: Int, _ resolved: inout [Resolved]) {
        for item in takeWaiting(where: { $0.publish.body.count > limit }) {
            resolved.append((item.token, .tooLarge))
        }
    }

    /// Removes and returns the waiting events that `isMeant` selects, in order, to be sent in another way or not at
    /// all.
    mutating func takeWaiting(where isMeant: (Item) -> Bool) -> [Item] {
        waiting.removeAll(where: isMeant)
    }

    private mutating func giveUp(_ id: UInt64, _ resolution: Resolution, _ resolved: inout [Resolved]) {
        if let item = waiting.remove(id) {
            resolved.append((item.token, item.wasSent ? .indeterminate : resolution))
        } else if let index = slot(of: id), let item = takeItem(at: index) {
            resolved.append((item.token, .indeterminate))
            // Otherwise a queue that confirms nothing, because it has no leader, would eventually fill the whole
            // window.
            dropSettled()
        }
    }

    private func slot(of id: UInt64) -> Int? {
        guard slotsAreSorted else { return slots.firstIndex { $0.id == id } }
        var (low, high) = (0, slots.count)
        while low < high {
            let middle = low + (high - low) / 2
            if slots[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < slots.count && slots[low].id == id ? low : nil
    }

    private mutating func resetDeadlines() {
        var entries: [DeadlineHeap.Entry] = []
        waiting.forEach { entries.append(DeadlineHeap.Entry(deadline: $0.deadline, id: $0.id)) }
        for case let item? in slots.lazy.map(\.item) {
            entries.append(DeadlineHeap.Entry(deadline: item.deadline, id: item.id))
        }
        deadlines.reset(to: entries)
    }
}

extension PublishStateMachine.Item: Sendable where Token: Sendable {}
