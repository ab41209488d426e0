internal import Logging
internal import Synchronization

/// A component that gives deliveries the id under which their subscription handles them.
final class EventIdentifier: Sendable {
    private let derive: @Sendable (ReceivedEvent) throws -> EventID?
    private let codecs: CodecRegistry
    private let payloads: PayloadPipeline
    private let subscription: SubscriptionInfo
    private let logger: BusLogger
    private let hasWarned = Atomic(false)

    /// Creates a component, or returns `nil` if events keep their own ids.
    init?(
        _ identity: EventIdentity,
        codecs: CodecRegistry,
        payloads: PayloadPipeline,
        subscription: SubscriptionInfo,
        logger: BusLogger
    ) {
        guard let derive = identity.derive else { return nil }
        self.derive = derive
        self.codecs = codecs
        self.payloads = payloads
        self.subscription = subscription
        self.logger = logger
    }

    /// Returns a delivery with the id that its subscription derives, or unchanged if none can be derived.
    ///
    /// - Throws: The error of a payload step, or that of an outage. The event must not be handled under its own id then,
    ///   because its next delivery may have the derived one.
    func identified(_ delivery: Delivery) throws(EventBusError) -> Delivery {
        if delivery.isIdentified { return delivery }
        let envelope = try payloads.decoded(delivery.envelope) ?? delivery.envelope
        let problem: String
        do {
            if let id = try derive(ReceivedEvent(envelope: envelope, codecs: codecs)) {
                return delivery.identified(as: id)
            }
            problem = "the part that identifies it is missing, blank or of another type"
        } catch let error as EventBusError where error.code.isOutage {
            throw error
        } catch {
            problem = String(loggable: error)
        }
        if !hasWarned.exchange(true, ordering: .relaxed) { warn(delivery.envelope, problem) }
        return delivery
    }

    private func warn(_ envelope: Envelope, _ problem: String) {
        logger.logger.warning(
            "an event keeps its own id, because no other could be derived; further ones are not logged",
            metadata: [
                LogKeys.eventID: "\(envelope.id)", LogKeys.topic: "\(envelope.topic)",
                LogKeys.group: "\(subscription.group)", LogKeys.subscription: "\(subscription.name)",
                LogKeys.error: "\(String(loggable: problem))",
            ]
        )
    }
}
