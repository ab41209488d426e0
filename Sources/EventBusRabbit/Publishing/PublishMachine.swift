import ConnectionThread
import DequeModule
import EventBus

/// Which events wait for a channel, which are with the broker, and what becomes of each: publisher confirms as a pure
/// state machine.
///
/// It is told what happens and the time, and says what to send and which tokens to resolve. Every token that goes in
/// comes out once.
struct PublishMachine<Token> {
    /// An event on its way.
    struct Item {
        /// Tells this publish from all others; later ones have greater ids.
        var id: UInt64
        var publish: AMQPPublish
        /// What a confirmed event that was not returned came to.
        var outcome: PublishOutcome
        var deadline: MonotonicTime
        /// Whether it is sent again after the connection was lost.
        var isResent = true
        var token: Token
        /// Whether a connection has taken it before: the broker may hold it.
        var wasSent = false
        /// Whether it may be what the broker closed a channel for, so that it has to go out alone.
        var isSuspect = false
        /// How often in a row the broker closed the whole connection with an error while it was in flight.
        var closedConnections = 0
    }

    /// What became of an event.
    enum Resolution: Equatable {
        case confirmed(PublishOutcome)
        /// The broker refused it.
        case rejected
        /// The broker closed the channel for it.
        case refused(PublishRefusal)
        /// It cannot go over the connection.
        case unsendable(WireProblem)
        /// It is larger than the broker accepts.
        case tooLarge
        /// The deadline passed; the broker holds nothing.
        case timedOut
        /// The deadline passed while the broker took nothing.
        case blocked
        /// Sent, and nothing is known.
        case indeterminate
        /// Cancelled before it was sent.
        case cancelled
    }

    typealias Resolved = (token: Token, resolution: Resolution)

    /// The place of a delivery tag.
    private struct Slot {
        let id: UInt64
        /// The event; `nil` once its caller was answered. The confirm may still come, and says nothing to anyone then.
        var item: Item?
        var isReturned = false
    }

    private let maximumCount: Int
    private let maximumBytes: Int
    private var waiting = WaitingLine<Item>()
    private var slots = Deque<Slot>()
    /// Whether the slots' ids rise: they do not where an event came back from the suspects.
    private var slotsAreSorted = true
    private var deadlines = DeadlineHeap()
    private var firstTag: UInt64 = 1
    private var bytes = 0
    /// Events with the broker, not yet confirmed, whose callers wait.
    private(set) var unconfirmed = 0
    private(set) var isConnected = false
    /// Whether the event taken last had been sent before.
    private var lastTaken = false
    /// Whether the broker said that it takes nothing at present.
    var isBlocked = false

    init(maximumCount: Int, maximumBytes: Int) {
        self.maximumCount = maximumCount
        self.maximumBytes = maximumBytes
    }

    /// Events that have not been sent on this connection.
    var waitingCount: Int { waiting.count }

    /// Whether the broker has an event, unconfirmed, for which `isMeant` holds.
    func hasUnconfirmed(where isMeant: (AMQPPublish) -> Bool) -> Bool {
        slots.contains { $0.item.map { isMeant($0.publish) } ?? false }
    }

    /// The unconfirmed event that the broker got first.
    var firstUnconfirmed: AMQPPublish? {
        slots.first?.item?.publish
    }

    mutating func add(_ item: Item) {
        if deadlines.isStale(count: waiting.count + unconfirmed) { resetDeadlines() }
        deadlines.insert(item.deadline, id: item.id)
        waiting.insert(item, id: item.id, size: item.publish.size)
    }

    // MARK: sending

    /// Takes the event to send next into the window, if the window and the broker allow one.
    ///
    /// Before it is sent: a send may end the connection, and then the event is one of those it had not confirmed.
    mutating func takeNext() -> AMQPPublish? {
        guard isConnected, !isBlocked, unconfirmed < maximumCount, let size = waiting.firstSize else { return nil }
        // One event may exceed the window alone, or it would never go out.
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

    /// Puts back what ``takeNext()`` took: the socket had no room for it.
    mutating func putBack() {
        guard var item = untake() else { return }
        item.wasSent = lastTaken
        waiting.insert(item, id: item.id, size: item.publish.size)
    }

    /// Gives up what ``takeNext()`` took: it cannot go over the connection.
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

    // MARK: what the broker says

    /// A new channel in confirm mode: its delivery tags begin at 1.
    mutating func connected(isBlocked: Bool = false) {
        isConnected = true
        self.isBlocked = isBlocked
        clearSlots()
    }

    /// The channel is gone. What it had not confirmed waits again, in its old order and ahead of the rest.
    ///
    /// - Parameters:
    ///   - closedByBroker: Whether the broker closed the connection with an error, perhaps for one of them.
    ///   - isSuspect: Which of those are taken out instead.
    /// - Returns: what was taken out.
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

    /// The broker returned an event, which no queue took; its confirm follows.
    ///
    /// One event may be on several ways at once, as to the dead letters of two groups.
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

    /// The broker confirmed or refused one event, or all up to it.
    mutating func confirmed(tag: UInt64, multiple: Bool, isAcknowledged: Bool, _ resolved: inout [Resolved]) {
        // The peer's numbers are not trusted to lie within the window.
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

    /// Takes the event out of a slot, which is settled then; `nil` if it was before.
    private mutating func takeItem(at index: Int) -> Item? {
        var item: Item?
        swap(&item, &slots[index].item)
        guard let item else { return nil }
        bytes -= item.publish.size
        unconfirmed -= 1
        return item
    }

    // MARK: giving up

    /// The earliest deadline of all events that are not resolved, or an earlier one of an event that is.
    var earliestDeadline: MonotonicTime? { deadlines.earliest }

    /// Gives up every event whose deadline has passed.
    mutating func expire(at now: MonotonicTime, _ resolved: inout [Resolved]) {
        while let id = deadlines.popDue(at: now) { giveUp(id, isBlocked ? .blocked : .timedOut, &resolved) }
    }

    /// Gives up the event with this id: cancelled if it was not sent.
    mutating func cancel(_ id: UInt64, _ resolved: inout [Resolved]) {
        giveUp(id, .cancelled, &resolved)
    }

    /// Gives up everything that waits to be sent.
    mutating func cancelWaiting(_ resolved: inout [Resolved]) {
        for item in takeWaiting(where: { _ in true }) {
            resolved.append((item.token, item.wasSent ? .indeterminate : .cancelled))
        }
    }

    /// Gives up what waits and is larger than the broker accepts: it was refused with its channel.
    mutating func refuse(largerThan limit: Int, _ resolved: inout [Resolved]) {
        for item in takeWaiting(where: { $0.publish.body.count > limit }) {
            resolved.append((item.token, .tooLarge))
        }
    }

    /// Takes out what waits and is meant, in order: it goes another way, or nowhere.
    mutating func takeWaiting(where isMeant: (Item) -> Bool) -> [Item] {
        waiting.removeAll(where: isMeant)
    }

    private mutating func giveUp(_ id: UInt64, _ resolution: Resolution, _ resolved: inout [Resolved]) {
        if let item = waiting.remove(id) {
            resolved.append((item.token, item.wasSent ? .indeterminate : resolution))
        } else if let index = slot(of: id), let item = takeItem(at: index) {
            resolved.append((item.token, .indeterminate))
            // Else a queue that confirms nothing, for want of a leader, would in time take the whole window.
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

extension PublishMachine.Item: Sendable where Token: Sendable {}
