/// An event that a handler has published and that is sent when the handler has returned.
struct HeldPublish: Sendable {
    /// A closure that passes the event to local listeners.
    typealias Emission = @Sendable (LocalEmitter) -> Void

    let bus: EventBus
    let envelope: Envelope
    let options: PublishOptions
    /// The closure to call when the broker has accepted the event, or `nil` if local listeners do not receive it.
    let emission: Emission?

    /// Returns a Boolean value indicating whether both events can be sent in one batch.
    func isSent(like other: HeldPublish) -> Bool {
        options.deadline == other.options.deadline && options.delay == other.options.delay
            && options.expiration == other.options.expiration && options.priority == other.options.priority
            && options.requiresSubscriber == other.options.requiresSubscriber
    }
}
