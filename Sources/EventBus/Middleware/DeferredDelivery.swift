/// An error that causes a later redelivery as the same attempt, because another consumer has claimed the event.
struct DeferredDelivery: UncountedError, CustomStringConvertible {
    var after: Duration
    /// The time for which claims in the inbox last without a renewal.
    var lease: Duration
    var event: EventID

    var description: String { "event \(event) waits, because another consumer has claimed it in the inbox" }
}
