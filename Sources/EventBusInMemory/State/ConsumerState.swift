import EventBus

/// A consumer of one queue and its unsettled deliveries.
struct ConsumerState: Sendable {
    /// A delivery that was handed over and has not been settled.
    struct Unsettled: Sendable {
        let delivery: Delivery
        let position: Int
        let extras: EventMetadata?
        /// The end of the time for which the delivery only waits for its retry in the order of its key.
        var heldUntil: AnyClock.Instant?
    }

    /// The number of bits that identify the slot in a delivery's number. The rest counts all deliveries of the broker.
    static let slotBits: UInt64 = 20
    /// The maximum prefetch, given the bits of a slot.
    static let maximumPrefetch = 1 << Int(slotBits)

    /// The number that distinguishes the consumer from earlier ones in its slot.
    let uniqueID: UInt64
    let specification: QueueSpecification
    let port: ConsumerMailbox
    let connection: Int
    private(set) var prefetch: Int
    var queue: Int
    /// A Boolean value indicating whether it gets no more deliveries.
    var isStopped = false
    /// A Boolean value indicating whether it gets no deliveries until it is resumed.
    var isSuspended = false
    /// A Boolean value indicating whether its slot is free.
    var isClosed = false
    /// The instant before which its subscription starts nothing.
    var pausedUntil: AnyClock.Instant?

    private(set) var unsettledCount = 0
    /// The number of unsettled deliveries that wait, or have waited, for a retry in the order of their key.
    private(set) var heldCount = 0
    private var slots: [Unsettled?] = []
    private var freeSlots: [Int] = []

    init(
        uniqueID: UInt64,
        specification: QueueSpecification,
        port: ConsumerMailbox,
        connection: Int,
        queue: Int
    ) {
        self.uniqueID = uniqueID
        self.specification = specification
        self.port = port
        self.connection = connection
        self.prefetch = Self.valid(prefetch: specification.prefetch)
        self.queue = queue
    }

    private static func valid(prefetch: Int) -> Int { min(max(1, prefetch), maximumPrefetch) }

    /// Ends a suspension.
    mutating func resume(prefetch: Int) {
        isSuspended = false
        self.prefetch = Self.valid(prefetch: prefetch)
    }

    /// The number of slots, used or free. It never exceeds the prefetch.
    var slotCount: Int { slots.count }

    var hasCredit: Bool { unsettledCount < prefetch && !isStopped && !isSuspended && !isClosed }

    /// Creates a delivery and records it as unsettled.
    mutating func deliver(
        _ envelope: Envelope,
        position: Int,
        attempt: Int,
        redeliveries: Int,
        extras: EventMetadata?,
        generation: UInt64,
        sequence: UInt64,
        fault: InjectedFault?
    ) -> Delivery {
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = slots.count
            slots.append(nil)
        }
        let delivery = Delivery(
            envelope: envelope,
            attempt: attempt,
            redeliveries: redeliveries,
            deferredFor: extras?.deferredFor ?? .zero,
            firstFailure: extras?.firstFailure,
            replyAddress: extras?.replyAddress,
            token: Delivery.Token(generation: generation, number: sequence << Self.slotBits | UInt64(slot)),
            injectedFault: fault
        )
        slots[slot] = Unsettled(delivery: delivery, position: position, extras: extras)
        unsettledCount += 1
        return delivery
    }

    /// Removes and returns the delivery that `token` identifies, or `nil` if it is not here any more.
    mutating func take(_ token: Delivery.Token) -> Unsettled? {
        guard let slot = slot(of: token), let found = slots[slot] else { return nil }
        slots[slot] = nil
        freeSlots.append(slot)
        unsettledCount -= 1
        if found.heldUntil != nil { heldCount -= 1 }
        return found
    }

    /// Records that the delivery with `token` waits until `instant`.
    ///
    /// - Returns: The increase in the number of held deliveries.
    mutating func hold(_ token: Delivery.Token, until instant: AnyClock.Instant) -> Int {
        guard let slot = slot(of: token), slots[slot] != nil else { return 0 }
        let added = slots[slot]?.heldUntil == nil ? 1 : 0
        heldCount += added
        slots[slot]?.heldUntil = instant
        return added
    }

    /// Removes and returns all deliveries, in no particular order.
    mutating func takeAll() -> [Unsettled] {
        let all = slots.compactMap { $0 }
        slots = []
        freeSlots = []
        unsettledCount = 0
        heldCount = 0
        return all
    }

    /// Returns the earliest instant after `now` at which a held delivery continues, or `nil` if one is being handled.
    func nextHold(after now: AnyClock.Instant) -> AnyClock.Instant? {
        if let pausedUntil, pausedUntil > now { return pausedUntil }
        if heldCount == 0 { return nil }
        var next: AnyClock.Instant?
        var heldKeys: Set<ExactString> = []
        for case let unsettled? in slots {
            guard let until = unsettled.heldUntil else { continue }
            if until <= now { return nil }
            next = next.map { min($0, until) } ?? until
            if let key = unsettled.delivery.envelope.exactPartitionKey { heldKeys.insert(key) }
        }
        if heldCount == unsettledCount { return next }
        guard specification.ordersByKey || specification.singleActiveConsumer else { return nil }
        // A delivery that is not held may wait behind a held one of its key.
        for case let unsettled? in slots where unsettled.heldUntil == nil {
            guard let key = unsettled.delivery.envelope.exactPartitionKey, heldKeys.contains(key) else { return nil }
        }
        return next
    }

    /// Calls `body` for each delivery that does not merely wait for a retry.
    func forEachHandled(at now: AnyClock.Instant, _ body: (Delivery) -> Void) {
        for case let unsettled? in slots where (unsettled.heldUntil.map { $0 <= now } ?? true) {
            body(unsettled.delivery)
        }
    }

    /// Returns a Boolean value indicating whether a delivery with this number or a lower one is unsettled.
    func holdsDelivery(numberedUpTo number: UInt64) -> Bool {
        unsettledCount > 0
            && slots.contains { ($0?.delivery.token.number).map { $0 >> Self.slotBits <= number } ?? false }
    }

    private func slot(of token: Delivery.Token) -> Int? {
        let slot = Int(truncatingIfNeeded: token.number & (1 << Self.slotBits - 1))
        guard slot < slots.count, slots[slot]?.delivery.token == token else { return nil }
        return slot
    }
}
