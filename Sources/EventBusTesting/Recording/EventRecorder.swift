public import EventBus

/// A recorder of the events that a bus published and handled, for use in tests.
///
/// It is middleware: add it to the configuration of a bus to record every event that passes.
///
/// ```swift
/// let recorder = EventRecorder()
/// var configuration = EventBusConfiguration()
/// configuration.record(with: recorder)
/// let bus = EventBus(transport: .inMemory(), configuration: configuration)
/// ```
///
/// A test that fails prints what has happened with ``story`` or ``withStory(_:)``.
public final class EventRecorder: PublishMiddleware, ConsumeMiddleware, DeliveryObserver, ClockedMiddleware,
    PromptMiddleware
{
    /// A published event.
    ///
    /// ```swift
    /// #expect(recorder.published.allSatisfy { (try? $0.result.get().outcome) == .routed })
    /// ```
    public struct Published: Sendable {
        /// The event.
        public var envelope: Envelope
        /// The receipt, or the error if the event was not published.
        public var result: Result<PublishReceipt, any Error>
    }

    /// An event that was acknowledged.
    private struct Handled {
        /// The event as its handler received it, with its stored body.
        var envelope: Envelope
        var group: String
        /// A Boolean value indicating whether an inbox kept the handler from running.
        var isDuplicate: Bool
    }

    private struct State {
        var published: [Published] = []
        var settled: [SettledDelivery] = []
        var handled: [Handled] = []
        /// The attempts whose delivery has no outcome yet.
        var attempts: [DeliveryKey: Handled] = [:]
        var log = StoryLog()
        /// The clock of the first bus that uses the recorder.
        var clock: AnyClock?
    }

    private let codec: any EventCodec
    private let payloadSteps: [any PayloadStep]
    private let state = Locked(State())
    private let changes = ChangeSignal()
    /// The clock of a recorder that no bus uses.
    private let fallbackClock = AnyClock.continuous

    /// Creates a recorder.
    ///
    /// - Parameters:
    ///   - codec: The codec that decodes events. Defaults to JSON.
    ///   - payloadSteps: The steps that undo the encodings of payloads. Defaults to none.
    public init(codec: any EventCodec = JSONEventCodec(), payloadSteps: [any PayloadStep] = []) {
        self.codec = codec
        self.payloadSteps = payloadSteps
    }

    /// The published events, in the order in which their outcomes arrived.
    public var published: [Published] { state.withLock { $0.published } }

    /// The settled deliveries in order: handled, retried or dead-lettered.
    public var settled: [SettledDelivery] { state.withLock { $0.settled } }

    /// Returns the published events of one type. Those of another version that cannot be decoded as this type are left out.
    public func published<E: Event>(_ type: E.Type) throws -> [E] {
        let pattern = E.topicPattern
        return try published.filter { pattern.matches($0.envelope.topic) }
            .compactMap { try decode(type, from: $0.envelope) }
    }

    /// Returns the events of one type that were handled successfully, once for each group that handled them. Duplicates
    /// that an inbox has suppressed are not among them (``duplicates(_:by:)``), and neither are those of another version that
    /// cannot be decoded as this type: a subscription that converts them has handled events of the earlier type.
    ///
    /// ```swift
    /// #expect(try recorder.handled(OrderConfirmed.self, by: "mail").map(\.orderID) == ["42"])
    /// ```
    public func handled<E: Event>(_ type: E.Type, by group: String? = nil) throws -> [E] {
        try acknowledged(type, by: group, areDuplicates: false)
    }

    /// Returns the events of one type that were acknowledged although their handler did not run, because an inbox has
    /// recognized them as duplicates.
    public func duplicates<E: Event>(_ type: E.Type, by group: String? = nil) throws -> [E] {
        try acknowledged(type, by: group, areDuplicates: true)
    }

    private func acknowledged<E: Event>(_ type: E.Type, by group: String?, areDuplicates: Bool) throws -> [E] {
        let pattern = E.topicPattern
        return try state.withLock { $0.handled }.filter { event in
            event.isDuplicate == areDuplicates && pattern.matches(event.envelope.topic)
                && (group == nil || event.group == group)
        }.compactMap { try decode(type, from: $0.envelope) }
    }

    /// Returns the event in an envelope, or `nil` if it is one of another version, which has a type of its own.
    private func decode<E: Event>(_ type: E.Type, from envelope: Envelope) throws -> E? {
        let payloads = PayloadPipeline(encoders: [], others: payloadSteps)
        let payload = try (payloads.decoded(envelope) ?? envelope).payload
        do {
            return try codec.decode(type, from: payload)
        } catch {
            if envelope.version != E.version { return nil }
            throw error
        }
    }

    /// Waits until at least `count` events of a type were handled successfully, and returns them.
    ///
    /// ```swift
    /// let orders = try await recorder.waitForHandled(OrderCreated.self, count: 2)
    /// ```
    ///
    /// - Parameters:
    ///   - type: The type of the events.
    ///   - group: The group that handled them, or `nil` for any group. Defaults to `nil`.
    ///   - count: The number of events.
    ///   - limit: The maximum wait in real time. Defaults to 30 s.
    /// - Throws: ``ConformanceFailure`` with the ``story`` so far.
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

    /// Waits until `condition` is true. It is evaluated again after each recorded event.
    ///
    /// ```swift
    /// try await recorder.waitUntil("two orders are published") { $0.published.count == 2 }
    /// ```
    ///
    /// - Parameters:
    ///   - limit: The maximum wait in real time. Defaults to 30 s.
    ///   - what: A description of the condition for the error.
    ///   - condition: The condition to wait for.
    /// - Throws: ``ConformanceFailure`` with the ``story`` so far.
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
        throw ConformanceFailure("not within \(limit): \(what)\n\(story)")
    }

    /// Removes all recorded events.
    public func reset() {
        state.withLock { state in
            state.published = []
            state.settled = []
            state.handled = []
            state.attempts = [:]
            state.log.reset()
        }
    }

    // MARK: Middleware

    /// Records the event and the outcome of its publish.
    public func publish(
        _ event: OutgoingEvent,
        next: PublishNext
    ) async throws -> PublishReceipt {
        let step = logged { log, now in log.beginPublish(event, at: now) }
        do {
            let receipt = try await next(event)
            logged { log, _ in log.endPublish(step, .success(receipt.outcome)) }
            note(Published(envelope: event.envelope, result: .success(receipt)))
            return receipt
        } catch {
            logged { log, _ in log.endPublish(step, .failure(StoryText(error))) }
            note(Published(envelope: event.envelope, result: .failure(error)))
            throw error
        }
    }

    /// Calls the handler. The outcome of the delivery is recorded when it is settled.
    public func consume(
        _ context: EventContext,
        next: ConsumeNext
    ) async throws {
        let step = logged { log, now in log.beginAttempt(context, at: now) }
        defer {
            logged { log, now in log.endAttempt(step, isDuplicate: context.isSuppressed, at: now) }
            let attempt = Handled(
                envelope: context.envelope,
                group: context.subscription.group,
                isDuplicate: context.isSuppressed
            )
            state.withLock { $0.attempts[context.key] = attempt }
        }
        try await next(context)
    }

    /// Records the outcome of a delivery.
    public func didSettle(_ delivery: SettledDelivery) {
        logged { log, now in log.settle(delivery, at: now) }
        state.withLock { state in
            state.settled.append(delivery)
            let attempt = state.attempts.removeValue(forKey: delivery.key)
            guard case .acknowledged = delivery.disposition else { return }
            // Other middleware may have acknowledged the event before it reached the recorder.
            let group = delivery.subscription.group
            state.handled.append(attempt ?? Handled(envelope: delivery.envelope, group: group, isDuplicate: false))
        }
        changes.raise()
    }

    /// Uses the clock of the bus for the times of the story.
    package func use(_ clock: AnyClock) {
        state.withLock { if $0.clock == nil { $0.clock = clock } }
    }

    /// The steps of the story.
    var storySteps: [StoryLog.Step] { state.withLock { $0.log.steps } }

    @discardableResult
    private func logged<Result: Sendable>(_ change: (inout StoryLog, _ now: AnyClock.Instant) -> Result) -> Result {
        let clock = state.withLock { $0.clock } ?? fallbackClock
        let now = clock.now
        return state.withLock { change(&$0.log, now) }
    }

    private func note(_ published: Published) {
        state.withLock { $0.published.append(published) }
        changes.raise()
    }
}

extension EventBusConfiguration {
    /// Adds a recorder to the middleware for published events and for deliveries.
    public mutating func record(with recorder: EventRecorder) {
        publishMiddleware.append(recorder)
        consumeMiddleware.append(recorder)
    }
}

/// A signal for each change.
private final class ChangeSignal: Sendable {
    private let current = Locked(Signal())

    /// The signal that is raised at the next change.
    var next: Signal { current.withLock { $0 } }

    func raise() {
        current.withLock { current in
            defer { current = Signal() }
            return current
        }.raise()
    }
}
