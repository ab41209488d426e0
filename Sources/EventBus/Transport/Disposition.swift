/// The way in which a delivery is settled.
///
/// Failures are stored indirectly, because nearly every delivery is acknowledged, and its outcome is copied often.
public enum Disposition: Sendable {
    /// The delivery was handled, and the broker removes it.
    case acknowledged
    /// The delivery failed and is redelivered to the same subscription as the next attempt, after the duration `after`.
    indirect case retried(after: Duration, Failure)
    /// The delivery cannot be handled at present and is redelivered as the same attempt, after the duration `after`.
    ///
    /// With a failure, only a newer release can handle it, a store or broker is unreachable, another consumer is handling
    /// the event, or the inbox fails for it. The transport adds up the delays of such deferrals until the next attempt
    /// (``Delivery/deferredFor``). Those without a failure are not added up.
    indirect case deferred(after: Duration, Failure?)
    /// The delivery failed permanently and becomes a dead letter of the group.
    indirect case deadLettered(Failure)
    /// The delivery was not handled for an unrelated reason, such as a shutdown. The broker redelivers it as the same
    /// attempt.
    case requeued
}
