public import EventBus

/// Keeps what a bus published and handled, for tests to look at.
///
/// It is middleware: add it to the bus's configuration, and it sees everything that passes.
///
/// ```swift
/// let recorder = EventRecorder()
/// var configuration = EventBusConfiguration()
/// configuration.record(with: recorder)
/// let bus = EventBus(transport: .inMemory, configuration: configuration)
/// ```
public final class EventRecorder: PublishMiddleware, ConsumeMiddleware {
    /// One event that was published.
    public struct Published: Sendable {
        /// The event.
        public var envelope: Envelope
        /// What became of it: its receipt, or why it was not published.
        public var result: Result<PublishReceipt, any Error>
    }

    private struct State {
        var published: [Published] = []
        var settled: [SettledDelivery] = []
    }

    private let codec: any EventCodec
    private let state = Locked(State())
    private let changes = ChangeSignal()

    /// A recorder that decodes with `codec`, JSON unless stated.
    public init(codec: any EventCodec = JSONEventCodec()) {
        self.codec = codec
    }

    /// Everything that was published, in the order in which the outcomes came.
    public var published: [Published] { state.withLock { $0.published } }

    /// Everything that was settled: handled, retried, put to the dead letters, in that order.
    public var settled: [SettledDelivery] { state.withLock { $0.settled } }

    /// The events of one type that were published.
    public func published<E: Event>(_ type: E.Type) throws -> [E] {
        try published.filter { $0.envelope.topic == E.topic }.map { try codec.decode(type, from: $0.envelope.payload) }
    }

    /// The events of one type that were handled with success, once for each group that did.
    public func handled<E: Event>(_ type: E.Type, by group: String? = nil) throws -> [E] {
        try settled.filter { delivery in
            guard case .acknowledged = delivery.disposition else { return false }
            return delivery.envelope.topic == E.topic && (group == nil || delivery.subscription.group == group)
        }.map { try codec.decode(type, from: $0.envelope.payload) }
    }

    /// Waits until at least `count` events of a type were handled with success, and returns them.
    ///
    /// - Parameters:
    ///   - type: The type of event.
    ///   - group: The group that handled them; any if left out.
    ///   - count: How many.
    ///   - limit: How long to wait, in real time; 30 s unless stated.
    /// - Throws: ``ConformanceFailure`` that says what was handled instead.
    public func waitForHandled<E: Event>(
        _ type: E.Type,
        by group: String? = nil,
        count: Int = 1,
        within limit: Duration = .seconds(30)
    ) async throws -> [E] {
        try await waitUntil(within: limit, "\(count) × \(E.self) handled") { recorder in
            try recorder.handled(type, by: group).count >= count
        }
        return try handled(type, by: group)
    }

    /// Waits until `condition` holds; it is asked again after everything that is recorded.
    ///
    /// - Parameters:
    ///   - limit: How long to wait, in real time; 30 s unless stated.
    ///   - what: What is waited for, in words.
    ///   - condition: Whether it has come.
    /// - Throws: ``ConformanceFailure`` with what was recorded instead.
    public func waitUntil(
        within limit: Duration = .seconds(30),
        _ what: String,
        _ condition: @escaping @Sendable (EventRecorder) throws -> Bool
    ) async throws {
        let deadline = AnyClock.continuous
        let isMet: Void? = try await withDeadline(deadline.now.advanced(by: limit), clock: deadline) {
            while true {
                let change = self.changes.next
                if try condition(self) { return }
                try await change.wait()
            }
        }
        guard isMet == nil else { return }
        let seen = settled.map { "\($0.envelope.topic) at \($0.subscription.queueName): \($0.disposition)" }
        throw ConformanceFailure("not within \(limit): \(what). Settled: \(seen)")
    }

    /// Forgets everything.
    public func reset() {
        state.withLock { $0 = State() }
    }

    // MARK: Middleware

    /// Notes the event and what became of it.
    public func publish(
        _ event: OutgoingEvent,
        next: PublishNext
    ) async throws -> PublishReceipt {
        do {
            let receipt = try await next(event)
            note(Published(envelope: event.envelope, result: .success(receipt)))
            return receipt
        } catch {
            note(Published(envelope: event.envelope, result: .failure(error)))
            throw error
        }
    }

    /// Goes on to the handler: what became of the delivery is noted when it is settled.
    public func consume(
        _ context: EventContext,
        next: ConsumeNext
    ) async throws {
        try await next(context)
    }

    /// Notes what became of a delivery.
    public func didSettle(_ delivery: SettledDelivery) {
        state.withLock { $0.settled.append(delivery) }
        changes.raise()
    }

    private func note(_ published: Published) {
        state.withLock { $0.published.append(published) }
        changes.raise()
    }
}

extension EventBusConfiguration {
    /// Adds a recorder to what published events and deliveries pass through.
    public mutating func record(with recorder: EventRecorder) {
        publishMiddleware.append(recorder)
        consumeMiddleware.append(recorder)
    }
}

/// A signal for each change.
private final class ChangeSignal: Sendable {
    private let current = Locked(Signal())

    /// Raised at the next change.
    var next: Signal { current.withLock { $0 } }

    func raise() {
        current.withLock { current in
            defer { current = Signal() }
            return current
        }.raise()
    }
}
