import ConnectionThread
import EventBus

/// A subscription's consumer on its queue, for the lifetime of the subscription and over any number of channels.
final class RabbitConsumer: TransportConsumer {
    /// The data that is needed to settle a delivery.
    ///
    /// It is a class, so that storing and releasing it under the lock moves a single reference.
    final class Held: Sendable {
        /// The event's own id. The subscription may have derived another one.
        let envelopeID: EventID
        let topic: Topic?
        let failedAttempts: Int
        /// A Boolean value indicating whether the bus's own headers in the message were set by the bus.
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
        /// The number of the channel whose deliveries can be settled.
        var generation: UInt64 = 0
        var held: [UInt64: Held] = [:]
        /// The deliveries in `held` that have been reported as unsettled for too long.
        var reported: Set<UInt64> = []
        var settled: [(tag: UInt64, how: Settlement)] = []
        var isScheduled = false
    }

    /// The settlement of a delivery with the broker.
    enum Settlement: Sendable {
        case acknowledge
        case requeue
        case reject
    }

    private var republishTimeout: Duration { manager.configuration.republishTimeout }

    /// The maximum time for the confirm of a copy of a returned delivery.
    private static let giveBackTimeout = Duration.seconds(5)

    let id: UInt64
    let specification: QueueSpecification
    /// The name of the queue. That of a broadcast has an additional part.
    let queueName: String
    let sink: any DeliverySink
    /// The decoder of the queue's messages.
    let decoder: MessageDecoder
    private let manager: ConsumerManager
    private let publisher: RabbitPublisher
    private let state = Locked(State())

    init(
        id: UInt64,
        specification: QueueSpecification,
        queueName: String,
        sink: any DeliverySink,
        decoder: MessageDecoder,
        manager: ConsumerManager,
        publisher: RabbitPublisher
    ) {
        self.id = id
        self.decoder = decoder
        self.specification = specification
        self.queueName = queueName
        self.sink = sink
        self.manager = manager
        self.publisher = publisher
    }

    // MARK: Calls of the core

    func settle(_ delivery: Delivery, as disposition: Disposition) async throws {
        let id = delivery.envelope.id
        switch disposition {
        case .acknowledged:
            // A redelivered event may have been lost to another event's crash. That one may be next, so acknowledge
            // immediately.
            try settle(delivery.token, .acknowledge, isUrgent: delivery.redeliveries > 0)
        case .requeued:
            let isSuspectNext = delivery.redeliveries + 1 >= RedeliveryLimits.alone
            guard isSuspectNext, !specification.singleActiveConsumer else {
                return try settle(delivery.token, .requeue)
            }
            try await giveBackAsCopy(delivery.token)
        case .retried(let delay, let failure) where specification.broadcast:
            try await again(delivery, after: delay, attempt: failure.attempt + 1)
        case .deferred(let delay, _) where specification.broadcast:
            try await again(delivery, after: delay, attempt: delivery.attempt)
        case .retried(let delay, let failure):
            let held = try held(delivery.token)
            try await republish(delivery.token, held) { () throws(EventBusError) in
                try RepublishBuilder.retry(held, as: id, queue: queueName, delay: delay, failure: failure)
            }
        case .deferred(let delay, let failure):
            let held = try held(delivery.token)
            try await republish(delivery.token, held) { () throws(EventBusError) in
                try RepublishBuilder.deferral(held, as: id, queue: queueName, delay: delay, failure: failure)
            }
        case .deadLettered(let failure):
            let held = try held(delivery.token)
            try await republish(delivery.token, held) { () throws(EventBusError) in
                let group = specification.group
                return RepublishBuilder.deadLetter(held, as: id, group: group, queue: queueName, failure: failure)
            }
        }
    }

    func stop() async {
        await manager.stop(id)
    }

    func close() async {
        await manager.close(id)
    }

    func keepsQueue(_ isKept: Bool) {
        // The consumer of a broadcast keeps its queue itself while it is suspended.
        if !specification.broadcast { manager.keepQueue(isKept ? specification : nil, of: id) }
    }

    func reopen() async {
        await manager.reopen(id)
    }

    func suspend() async {
        await manager.suspend(id)
    }

    func resume(prefetch: Int) async {
        await manager.resume(id, prefetch: prefetch)
    }

    // MARK: Settling

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
        // The settled deliveries are released outside the lock.
        let (urgency, freed): (Urgency, Held?) = state.withLock { state in
            guard state.generation == token.generation, let held = state.held.removeValue(forKey: token.number) else {
                return (.stale, nil)
            }
            if !state.reported.isEmpty { state.reported.remove(token.number) }
            state.settled.append((token.number, how))
            guard case .acknowledge = how, !isUrgent else { return (.now, held) }
            // Half of the prefetch is still to be handled, so an acknowledgement can wait for a moment, and one hop to
            // the thread sends them all.
            if state.settled.count == max(1, specification.prefetch / 2) { return (.now, held) }
            defer { state.isScheduled = true }
            return (state.isScheduled ? .known : .soon, held)
        }
        withExtendedLifetime(freed) {}
        switch urgency {
        case .now: manager.flushNow(self)
        case .soon: manager.flushSoon(self)
        case .known: break
        case .stale: throw stale
        }
    }

    /// Publishes the new copy, and settles the old one when the broker has confirmed the new one.
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
            let deadline = MonotonicTime.now.advanced(by: republishTimeout)
            var failures = 0
            while let obstacle = try await send(publish, until: deadline) {
                // A missing or full queue is not the event's fault, so nothing is counted and the delivery is kept.
                _ = try self.held(token)
                failures += 1
                let wait = Self.pause(after: failures)
                guard MonotonicTime.now.advanced(by: wait) < deadline else {
                    throw EventBusError(.unavailable, "the broker took no copy within \(republishTimeout)")
                }
                var isMended = false
                if case .missing(let text) = obstacle { isMended = await manager.declareAgain(text) }
                if failures > 1 || !isMended { await withoutCancellation { try? await Task.sleep(for: wait) } }
            }
        } catch let error as EventBusError where Self.isFinal(error) {
            return try await giveToBroker(token, held, "\(error)")
        } catch let error as EventBusError where error.code == .staleDelivery {
            throw error
        } catch {
            // If it were returned alone, it would be redelivered after the events behind it. The subscription keeps it
            // and tries again.
            if specification.singleActiveConsumer { throw error }
            // It stays with the broker, which redelivers it. The copy may have been published too.
            return try settle(token, .requeue)
        }
        try settle(token, .acknowledge)
    }

    /// Returns a delivery to its queue as a copy, whose redelivery count starts at zero.
    ///
    /// Brokers before 4.3 count returned deliveries like those of a crashed consumer. After a few orderly restarts, an
    /// event that waits would be handled alone, and in the end reach the delivery limit.
    private func giveBackAsCopy(_ token: Delivery.Token) async throws {
        let held = try held(token)
        var isCopied = false
        if held.message.properties.isLossless {
            do {
                let copy = try RepublishBuilder.deferral(
                    held,
                    as: held.envelopeID,
                    queue: queueName,
                    delay: .zero,
                    failure: nil
                )
                isCopied = try await send(copy, until: .now.advanced(by: Self.giveBackTimeout)) == nil
            } catch {
                // It is returned as it is.
            }
        }
        try settle(token, isCopied ? .acknowledge : .requeue)
    }

    /// A temporary reason why the broker does not accept a copy.
    private enum Obstacle {
        /// A queue or an exchange is missing.
        case missing(String)
        /// A queue refuses the copy, for example because it is full.
        case refused
    }

    /// Publishes a copy once. Returns the reason why the broker does not accept it, or `nil` if it does.
    private func send(_ publish: AMQPPublish, until deadline: MonotonicTime) async throws -> Obstacle? {
        // The delivery of a cancelled handler is settled nevertheless.
        let publisher = publisher
        do {
            let outcome = try await withoutCancellation {
                try await publisher.publish(publish, outcome: .scheduled, deadline: deadline)
            }
            guard outcome == .unroutable else { return nil }
            manager.health.monitor.note(.returned, publish.routingKey)
            return .missing("a copy to \(publish.exchange) for \(publish.routingKey) found no queue")
        } catch let error as EventBusError where error.code.isRefusal {
            manager.health.monitor.note(.refused, publish.routingKey, reason: error.message)
            if error.code == .notFound { return .missing(error.message) }
            // The broker closes no channel for a queue that refuses it.
            if error.code == .rejected, error.underlying == nil { return .refused }
            throw error
        }
    }

    /// Returns a Boolean value indicating whether the broker does not have the copy, and another attempt would fail in
    /// the same way.
    private static func isFinal(_ error: EventBusError) -> Bool {
        error.code.isAboutTheEvent || error.code.isRefusal
    }

    /// Rejects a delivery that cannot be republished, which sends it unchanged to the queue's dead-letter exchange with
    /// the broker's reason.
    private func giveToBroker(_ token: Delivery.Token, _ held: Held, _ reason: String) async throws {
        manager.logger.info(
            "cannot republish an event; the queue dead-letters it",
            metadata: ["queue": "\(queueName)", "event": "\(held.envelopeID)", "reason": "\(reason)"]
        )
        // A classic queue drops an event that it cannot dead-letter, so it is kept until there is a queue for it.
        let deadline = MonotonicTime.now.advanced(by: republishTimeout)
        var failures = 0
        while await !manager.ensureDeadLetters(of: specification.group) {
            _ = try self.held(token)
            failures += 1
            let wait = Self.pause(after: failures)
            guard MonotonicTime.now.advanced(by: wait) < deadline else {
                let problem = "the group \(specification.group) has no queue for dead letters"
                if specification.singleActiveConsumer { throw EventBusError(.unavailable, problem) }
                return try settle(token, .requeue)
            }
            await withoutCancellation { try? await Task.sleep(for: wait) }
        }
        try settle(token, .reject)
    }

    /// Returns the time until the next attempt to give an event to the broker.
    static func pause(after failures: Int) -> Duration {
        min(Duration.milliseconds(50) * (1 << min(failures, 6)), .seconds(3))
    }

    /// Dead-letters a delivery that is never passed to the core, with the reason.
    func deadLetter(_ token: Delivery.Token, _ failure: Failure) {
        Task { [self] in
            var failures = 0
            // Once its connection is gone, the broker redelivers it.
            while let held = try? held(token) {
                do {
                    return try await republish(token, held) { () throws(EventBusError) in
                        RepublishBuilder.deadLetter(
                            held,
                            as: held.envelopeID,
                            group: specification.group,
                            queue: queueName,
                            failure: failure
                        )
                    }
                } catch {
                    // No subscription has it that could try again.
                    failures += 1
                    try? await Task.sleep(for: Self.pause(after: failures))
                }
            }
        }
    }

    /// Redelivers an event from memory, because broadcast queues are not connected to the delay levels.
    private func again(_ delivery: Delivery, after delay: Duration, attempt: Int) async throws {
        _ = try held(delivery.token)
        let copy = Delivery(
            envelope: delivery.envelope,
            attempt: attempt,
            redeliveries: delivery.redeliveries,
            replyAddress: delivery.replyAddress,
            token: delivery.token
        )
        manager.deliverAgain(copy, to: self, after: delay)
    }

    // MARK: Calls of the manager

    /// Starts to accept deliveries of a new channel.
    func begin(generation: UInt64) {
        state.withLock { state in
            state.generation = generation
            state.held = [:]
            state.reported = []
            state.settled = []
        }
    }

    /// Refuses to settle deliveries of a closed channel.
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

    /// The deliveries that have not been settled, in their order.
    var unsettled: [Held] {
        state.withLock { state in state.held.sorted { $0.key < $1.key }.map(\.value) }
    }

    func isHolding(_ token: Delivery.Token) -> Bool {
        state.withLock { $0.generation == token.generation && $0.held[token.number] != nil }
    }

    /// Returns the number of deliveries that have been unsettled for longer than `limit`, and the oldest event. Each is
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

    /// Returns the deliveries that were settled since the last call.
    func takeSettled() -> [(tag: UInt64, how: Settlement)] {
        state.withLock { state in
            state.isScheduled = false
            defer { state.settled = [] }
            return state.settled
        }
    }
}
