internal import Instrumentation

/// The correlation that a handler's task carries, so that all events published inside it belong to the handled event's
/// chain.
package final class EventCorrelation: Sendable {
    /// The chain of causes.
    package let correlationID: CorrelationID
    /// The event being handled.
    package let causationID: EventID
    /// The handled event's trace headers, which are passed on unchanged if the service has no tracer. See
    /// ``InheritedTrace``.
    package let traceHeaders: [String: HeaderValue]
    /// The bus of the handler.
    package let bus: ObjectIdentifier?
    /// The subscription's processor that runs the handler.
    let handler: ObjectIdentifier?
    /// The attempt in which the handler runs, and its number. Tasks that outlive the handler keep it.
    private let attempt: (current: CurrentAttempt, number: UInt64)?
    /// A Boolean value indicating whether what the task publishes may have a derived identity.
    private let derivesIDs: Bool
    /// The events that the handler has published and that wait until it has returned, or `nil` if events are published
    /// immediately.
    let heldPublishes: HeldPublishes?

    init(
        handling envelope: Envelope,
        correlationID: CorrelationID,
        bus: ObjectIdentifier,
        handler: ObjectIdentifier,
        attempt: (current: CurrentAttempt, number: UInt64)
    ) {
        self.correlationID = correlationID
        self.causationID = envelope.id.portable
        self.bus = bus
        self.handler = handler
        self.attempt = attempt
        self.derivesIDs = true
        self.heldPublishes = nil
        var traceHeaders: [String: HeaderValue] = [:]
        if !envelope.headers.isEmpty {
            for name in InheritedTrace.maximumLengths.keys {
                let text = InheritedTrace.text(of: envelope.headers[name], named: name)
                if let text { traceHeaders[name] = .string(text) }
            }
        }
        self.traceHeaders = traceHeaders
    }

    private init(_ other: EventCorrelation, derivesIDs: Bool, heldPublishes: HeldPublishes?) {
        self.correlationID = other.correlationID
        self.causationID = other.causationID
        self.traceHeaders = other.traceHeaders
        self.bus = other.bus
        self.handler = other.handler
        self.attempt = other.attempt
        self.derivesIDs = derivesIDs
        self.heldPublishes = heldPublishes
    }

    /// Returns the same correlation for a task that handles several events, so that an identity derived from one of them
    /// would be wrong.
    func withoutDerivedIDs() -> EventCorrelation {
        EventCorrelation(self, derivesIDs: false, heldPublishes: heldPublishes)
    }

    /// Returns the same correlation for the call of a handler whose publishes are held.
    func holding(_ publishes: HeldPublishes) -> EventCorrelation {
        EventCorrelation(self, derivesIDs: derivesIDs, heldPublishes: publishes)
    }

    /// The correlation of the current task.
    package static var current: EventCorrelation? { ServiceContext.current?[EventCorrelationKey.self] }

    /// A Boolean value indicating whether the task's handler itself is still running, and not only tasks that it has
    /// started.
    var isHandlerRunning: Bool { attempt.map { $0.current.isUnderWay($0.number) } ?? false }

    /// Returns the identity of an event that the task publishes, or `nil` if it has a random one.
    func derivedID(of event: Envelope, options: PublishOptions) -> DerivedEventID? {
        guard derivesIDs else { return nil }
        return attempt.flatMap { $0.current.derivedID(of: event, options: options, attempt: $0.number) }
    }

    /// Records that an event with a derived identity was not published, so that the next equal one gets this identity.
    func release(_ derived: DerivedEventID) {
        if let attempt { attempt.current.release(derived, attempt: attempt.number) }
    }

    /// The current task's context with this correlation.
    var serviceContext: ServiceContext {
        var context = ServiceContext.current ?? .topLevel
        context[EventCorrelationKey.self] = self
        return context
    }
}

private enum EventCorrelationKey: ServiceContextKey {
    typealias Value = EventCorrelation
    static let nameOverride: String? = "eventbus-correlation"
}
