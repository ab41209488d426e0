/// An event on its way to the transport.
public struct OutgoingEvent: Sendable {
    /// The event in its wire format.
    public var envelope: Envelope
    /// The time for which the broker holds the event.
    public var delay: Duration
    /// The time for which the event may wait in a queue, or `nil` for any time. See ``PublishOptions/expiration``.
    public var expiration: Duration?
    /// The priority of the event, or `nil` for none. See ``PublishOptions/priority``.
    public var priority: UInt8?
    /// The time by which the publish must have an outcome.
    public let deadline: AnyClock.Instant
    /// The name of the transport, for spans and metrics, or `nil` for an event that a test creates.
    let transportName: String?

    package init(envelope: Envelope, options: TransportPublishOptions, transportName: String? = nil) {
        self.envelope = envelope
        self.delay = options.delay
        self.expiration = options.expiration
        self.priority = options.priority
        self.deadline = options.deadline
        self.transportName = transportName
    }
}
