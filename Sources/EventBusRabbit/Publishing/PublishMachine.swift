import ConnectionThread
import DequeModule
import EventBus

/// Which events wait, which are with the broker, and what becomes of each: publisher confirms as a pure state machine.
///
/// It is told what happens and the time, and says what to send and which tokens to resolve. Every token that goes in
/// comes out once.
struct PublishMachine<Token> {
    /// An event on its way.
    struct Item {
        /// Tells this publish from all others.
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
    }

    /// What became of an event.
    enum Resolution: Equatable {
        case confirmed(PublishOutcome)
        /// The broker refused it.
        case rejected
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

    private enum Slot {
        case unconfirmed(Item, isReturned: Bool)
        /// Its caller was answered, its confirm is still to come.
        case abandoned(size: Int)
        case settled
    }

    private let maximumCount: Int
    private let maximumBytes: Int
    private var waiting = Deque<Item>()
    private var slots = Deque<Slot>()
    private var firstTag: UInt64 = 1
    private var bytes = 0
    /// Events with the broker, not yet confirmed.
    private(set) var unconfirmed = 0
    private var isConnected = false
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

    mutating func add(_ item: Item) {
        waiting.append(item)
    }

    // MARK: sending

    /// Takes the event to send next into the window, if the window and the broker allow one.
    ///
    /// Before it is sent: a send may end the connection, and then the event is one of those it had not confirmed.
    mutating func takeNext() -> AMQPPublish? {
        guard isConnected, !isBlocked, unconfirmed < maximumCount, !waiting.isEmpty else { return nil }
        // One event may exceed the window alone, or it would never go out.
        guard unconfirmed == 0 || bytes + waiting[0].publish.size <= maximumBytes else { return nil }
        var item = waiting.removeFirst()
        lastTaken = item.wasSent
        item.wasSent = true
        bytes += item.publish.size
        unconfirmed += 1
        slots.append(.unconfirmed(item, isReturned: false))
        return item.publish
    }

    /// Puts back what ``takeNext()`` took: the socket had no room for it.
    mutating func putBack() {
        guard case .unconfirmed(var item, _)? = slots.popLast() else { return }
        item.wasSent = lastTaken
        bytes -= item.publish.size
        unconfirmed -= 1
        waiting.prepend(item)
    }

    // MARK: what the broker says

    /// A new channel in confirm mode: its delivery tags begin at 1.
    mutating func connected() {
        isConnected = true
        isBlocked = false
        firstTag = 1
        slots = []
        bytes = 0
        unconfirmed = 0
    }

    /// The channel is gone. What it had not confirmed waits again, in its old order and ahead of the rest.
    mutating func disconnected(_ resolved: inout [Resolved]) {
        isConnected = false
        isBlocked = false
        for slot in slots.reversed() {
            guard case .unconfirmed(let item, _) = slot else { continue }
            if item.isResent {
                waiting.prepend(item)
            } else {
                resolved.append((item.token, .indeterminate))
            }
        }
        slots = []
        bytes = 0
        unconfirmed = 0
    }

    /// The broker returned an event, which no queue took; its confirm follows.
    mutating func returned(messageID: String?) {
        for index in slots.indices {
            guard case .unconfirmed(let item, false) = slots[index], item.publish.properties.messageID == messageID
            else { continue }
            slots[index] = .unconfirmed(item, isReturned: true)
            return
        }
    }

    /// The broker confirmed or refused one event, or all up to it.
    mutating func confirmed(tag: UInt64, multiple: Bool, isAcknowledged: Bool, _ resolved: inout [Resolved]) {
        // The peer's numbers are not trusted to lie within the window.
        guard tag >= firstTag, tag - firstTag < UInt64(slots.count) else { return }
        let last = Int(tag - firstTag)
        for index in (multiple ? 0 : last)...last { settle(index, isAcknowledged, &resolved) }
        while case .settled? = slots.first {
            slots.removeFirst()
            firstTag += 1
        }
    }

    private mutating func settle(_ index: Int, _ isAcknowledged: Bool, _ resolved: inout [Resolved]) {
        // Moved out, since a copy of an event has a dozen references to count.
        var slot = Slot.settled
        swap(&slot, &slots[index])
        switch slot {
        case .unconfirmed(let item, let isReturned):
            bytes -= item.publish.size
            unconfirmed -= 1
            let resolution: Resolution =
                if isAcknowledged { .confirmed(isReturned ? .unroutable : item.outcome) } else { .rejected }
            resolved.append((item.token, resolution))
        case .abandoned(let size):
            bytes -= size
            unconfirmed -= 1
        case .settled:
            break
        }
    }

    // MARK: giving up

    /// The earliest deadline of all events that are not resolved.
    var earliestDeadline: MonotonicTime? {
        var earliest = waiting.lazy.map(\.deadline).min()
        for case .unconfirmed(let item, _) in slots where earliest.map({ item.deadline < $0 }) ?? true {
            earliest = item.deadline
        }
        return earliest
    }

    /// Gives up every event whose deadline has passed.
    mutating func expire(at now: MonotonicTime, _ resolved: inout [Resolved]) {
        let expired: Resolution = isBlocked ? .blocked : .timedOut
        giveUp(&resolved) { $0.deadline <= now ? expired : nil }
    }

    /// Gives up the event with this id: cancelled if it was not sent.
    mutating func cancel(_ id: UInt64, _ resolved: inout [Resolved]) {
        giveUp(&resolved) { $0.id == id ? .cancelled : nil }
    }

    /// Gives up everything that waits to be sent.
    mutating func cancelWaiting(_ resolved: inout [Resolved]) {
        let items = waiting
        waiting = []
        for item in items { resolved.append((item.token, item.wasSent ? .indeterminate : .cancelled)) }
    }

    /// Gives up what waits and is larger than the broker accepts: it was refused with its channel.
    mutating func refuse(largerThan limit: Int, _ resolved: inout [Resolved]) {
        let items = waiting
        waiting = []
        for item in items {
            if item.publish.body.count > limit {
                resolved.append((item.token, .tooLarge))
            } else {
                waiting.append(item)
            }
        }
    }

    private mutating func giveUp(_ resolved: inout [Resolved], _ verdict: (Item) -> Resolution?) {
        var kept = Deque<Item>()
        var isChanged = false
        for item in waiting {
            if let resolution = verdict(item) {
                resolved.append((item.token, item.wasSent ? .indeterminate : resolution))
                isChanged = true
            } else {
                kept.append(item)
            }
        }
        if isChanged { waiting = kept }
        for index in slots.indices {
            guard case .unconfirmed(let item, _) = slots[index], verdict(item) != nil else { continue }
            resolved.append((item.token, .indeterminate))
            slots[index] = .abandoned(size: item.publish.size)
        }
    }
}

extension PublishMachine.Item: Sendable where Token: Sendable {}
