import ConnectionThread
import EventBus

/// A subscription's hold on its queue, for as long as the subscription lives, over as many channels as it takes.
final class RabbitConsumer: TransportConsumer {
    /// What has to be known of a delivery to settle it.
    ///
    /// A class, so that keeping it and letting go of it under the lock moves one reference.
    final class Held: Sendable {
        let envelopeID: EventID
        let topic: Topic?
        let failedAttempts: Int
        /// Whether the bus's own headers in the message are the bus's.
        let isTrusted: Bool
        let message: AMQPMessage
        let arrival = MonotonicTime.now

        init(envelopeID: EventID, topic: Topic?, failedAttempts: Int, isTrusted: Bool, message: AMQPMessage) {
            self.envelopeID = envelopeID
            self.topic = topic
            self.failedAttempts = failedAttempts
            self.isTrusted = isTrusted
            self.message = message
        }
    }

    private struct State {
        /// The channel that deliveries have to be of, to be settled.
        var generation: UInt64 = 0
        var held: [UInt64: Held] = [:]
        /// Those of `held` that were named as held too long.
        var reported: Set<UInt64> = []
        var settled: [(tag: UInt64, how: Settlement)] = []
        var isScheduled = false
    }

    /// What the broker is told of a delivery.
    enum Settlement: Sendable {
        case acknowledge
        case requeue
        case reject
    }

    /// How long a retry or a dead letter may take to be confirmed before its delivery is given back: well below the half
    /// hour after which a broker closes the channel.
    static let republishTimeout = Duration.seconds(300)

    let id: UInt64
    let specification: QueueSpecification
    /// The name of its queue; a broadcast's has a further part.
    let queueName: String
    let sink: any DeliverySink
    /// Reads what the queue delivers.
    let decoder: MessageDecoder
    private let hub: ConsumerHub
    private let lane: PublishLane
    private let state = Locked(State())

    init(
        id: UInt64,
        specification: QueueSpecification,
        queueName: String,
        sink: any DeliverySink,
        decoder: MessageDecoder,
        hub: ConsumerHub,
        lane: PublishLane
    ) {
        self.id = id
        self.decoder = decoder
        self.specification = specification
        self.queueName = queueName
        self.sink = sink
        self.hub = hub
        self.lane = lane
    }

    // MARK: for core

    func settle(_ delivery: Delivery, as disposition: Disposition) async throws {
        switch disposition {
        case .acknowledged:
            // What came again may have been brought down by another, which may be the next to be handled.
            try settle(delivery.token, .acknowledge, isUrgent: delivery.redeliveries > 0)
        case .handedBack:
            try settle(delivery.token, .requeue)
        case .retried(let delay, let failure) where specification.broadcast:
            try await again(delivery, after: delay, attempt: failure.attempt + 1)
        case .deferred(let delay, _) where specification.broadcast:
            try await again(delivery, after: delay, attempt: delivery.attempt)
        case .retried(let delay, let failure):
            let held = try held(delivery.token)
            try await republish(delivery.token, held) { () throws(EventBusError) in
                try Republishing.retry(held, queue: queueName, delay: delay, failure: failure)
            }
        case .deferred(let delay, let failure):
            let held = try held(delivery.token)
            try await republish(delivery.token, held) { () throws(EventBusError) in
                try Republishing.deferral(held, queue: queueName, delay: delay, failure: failure)
            }
        case .deadLettered(let failure):
            let held = try held(delivery.token)
            try await republish(delivery.token, held) { () throws(EventBusError) in
                Republishing.deadLetter(held, group: specification.group, queue: queueName, failure: failure)
            }
        }
    }

    func stop() async {
        await hub.stop(id)
    }

    func close() async {
        await hub.close(id)
    }

    func reopen() async {
        await hub.reopen(id)
    }

    // MARK: settling

    private var stale: EventBusError {
        EventBusError(.staleDelivery, "the connection that brought the delivery is gone; the broker delivers it again")
    }

    private func held(_ token: Delivery.Token) throws(EventBusError) -> Held {
        let held = state.withLock { state in
            state.generation == token.generation ? state.held[token.number] : nil
        }
        guard let held else { throw stale }
        return held
    }

    private func settle(
        _ token: Delivery.Token,
        _ how: Settlement,
        isUrgent: Bool = false
    ) throws(EventBusError) {
        enum Urgency { case now, soon, known, stale }
        // What was held is freed outside the lock.
        let (urgency, freed): (Urgency, Held?) = state.withLock { state in
            guard state.generation == token.generation, let held = state.held.removeValue(forKey: token.number) else {
                return (.stale, nil)
            }
            if !state.reported.isEmpty { state.reported.remove(token.number) }
            state.settled.append((token.number, how))
            guard case .acknowledge = how, !isUrgent else { return (.now, held) }
            // Half of the prefetch is still to be handled: an acknowledgement that waits a moment holds up nothing,
            // and one trip to the thread says it for all.
            if state.settled.count == max(1, specification.prefetch / 2) { return (.now, held) }
            defer { state.isScheduled = true }
            return (state.isScheduled ? .known : .soon, held)
        }
        withExtendedLifetime(freed) {}
        switch urgency {
        case .now: hub.flushNow(self)
        case .soon: hub.flushSoon(self)
        case .known: break
        case .stale: throw stale
        }
    }

    /// Sends the new copy, and lets go of the old one when the broker holds the new.
    private func republish(
        _ token: Delivery.Token,
        _ held: Held,
        _ make: () throws(EventBusError) -> AMQPPublish
    ) async throws {
        guard held.message.properties.isLossless else {
            return try await giveToBroker(token, held, "its headers or properties cannot go out again as they came")
        }
        do {
            let publish = try make()
            let deadline = MonotonicTime.now.advanced(by: Self.republishTimeout)
            var failures = 0
            while let obstacle = try await send(publish, until: deadline) {
                // That a queue is missing or full is not the event's fault: nothing is counted, and it stays ours.
                _ = try self.held(token)
                failures += 1
                let wait = min(Duration.milliseconds(50) * (1 << min(failures, 6)), .seconds(3))
                guard MonotonicTime.now.advanced(by: wait) < deadline else {
                    throw EventBusError(.unavailable, "the broker took no copy within \(Self.republishTimeout)")
                }
                var isMended = false
                if case .missing(let text) = obstacle { isMended = await hub.declareAgain(text) }
                if failures > 1 || !isMended { await withoutCancellation { try? await Task.sleep(for: wait) } }
            }
        } catch let error as EventBusError where Self.isFinal(error) {
            return try await giveToBroker(token, held, "\(error)")
        } catch let error as EventBusError where error.code == .staleDelivery {
            throw error
        } catch {
            // Given back alone it would come after those behind it: the subscription keeps it, and tries again.
            if specification.singleActiveConsumer { throw error }
            // It stays with the broker, which delivers it again; the copy may have gone out too.
            return try settle(token, .requeue)
        }
        try settle(token, .acknowledge)
    }

    /// What keeps the broker from taking a copy, and may pass.
    private enum Obstacle {
        /// A queue or an exchange is not there.
        case missing(String)
        /// A queue takes nothing, as one that is full does.
        case refused
    }

    /// Sends a copy once. Returns what keeps the broker from taking it; `nil` if it holds it.
    private func send(_ publish: AMQPPublish, until deadline: MonotonicTime) async throws -> Obstacle? {
        // A cancelled handler's delivery is settled nevertheless.
        let lane = lane
        do {
            let outcome = try await withoutCancellation {
                try await lane.publish(publish, outcome: .scheduled, deadline: deadline)
            }
            guard outcome == .unroutable else { return nil }
            return .missing("a copy to \(publish.exchange) for \(publish.routingKey) found no queue")
        } catch let error as EventBusError where error.code == .notFound {
            return .missing(error.message)
        } catch let error as EventBusError where error.code == .rejected && error.underlying == nil {
            // The broker closes no channel for that.
            return .refused
        }
    }

    /// Whether the broker does not have the copy, and a second try would come to the same.
    private static func isFinal(_ error: EventBusError) -> Bool {
        error.code.isAboutTheEvent || error.code.isRefusal
    }

    /// Sends what cannot go out again down the queue's own dead-letter path, as it came and with the broker's reason.
    private func giveToBroker(_ token: Delivery.Token, _ held: Held, _ reason: String) async throws {
        hub.logger.info(
            "an event cannot be sent again; it takes the queue's own way to the dead letters",
            metadata: ["queue": "\(queueName)", "event": "\(held.envelopeID)", "reason": "\(reason)"]
        )
        // A classic queue drops what it cannot put there.
        await hub.ensureDeadLetters(of: specification.group)
        try settle(token, .reject)
    }

    /// Puts a delivery that core never sees to the dead letters, with the reason.
    func deadLetter(_ token: Delivery.Token, _ failure: Failure) {
        Task { [self] in
            do {
                let held = try held(token)
                try await republish(token, held) { () throws(EventBusError) in
                    Republishing.deadLetter(held, group: specification.group, queue: queueName, failure: failure)
                }
            } catch {
                // Its connection is gone: the broker delivers it again.
            }
        }
    }

    /// Delivers once more from memory: broadcast queues have no way back through the delay levels.
    private func again(_ delivery: Delivery, after delay: Duration, attempt: Int) async throws {
        _ = try held(delivery.token)
        let copy = Delivery(
            envelope: delivery.envelope,
            attempt: attempt,
            redeliveries: delivery.redeliveries,
            replyAddress: delivery.replyAddress,
            token: delivery.token
        )
        hub.deliverAgain(copy, to: self, after: delay)
    }

    // MARK: for the hub, on its thread

    /// Begins to accept deliveries of a new channel.
    func begin(generation: UInt64) {
        state.withLock { state in
            state.generation = generation
            state.held = [:]
            state.reported = []
            state.settled = []
        }
    }

    /// Refuses to settle what came on the channel, which is gone.
    func end(generation: UInt64) {
        state.withLock { state in
            guard state.generation == generation else { return }
            state.generation = 0
            state.held = [:]
            state.reported = []
            state.settled = []
        }
        sink.revoke(through: generation)
    }

    func hold(_ held: Held, tag: UInt64) {
        state.withLock { $0.held[tag] = held }
    }

    func isHolding(_ token: Delivery.Token) -> Bool {
        state.withLock { $0.generation == token.generation && $0.held[token.number] != nil }
    }

    /// The deliveries that have been unsettled for longer than `limit`: how many, and the event that came first. Each is
    /// counted once.
    func takeHeldTooLong(since now: MonotonicTime, limit: Duration) -> (count: Int, oldest: EventID)? {
        state.withLock { state in
            let late = state.held.filter { tag, held in
                held.arrival.duration(to: now) > limit && !state.reported.contains(tag)
            }
            guard let oldest = late.min(by: { $0.key < $1.key }) else { return nil }
            state.reported.formUnion(late.keys)
            return (late.count, oldest.value.envelopeID)
        }
    }

    /// What was settled since the last call.
    func takeSettled() -> [(tag: UInt64, how: Settlement)] {
        state.withLock { state in
            state.isScheduled = false
            defer { state.settled = [] }
            return state.settled
        }
    }
}
