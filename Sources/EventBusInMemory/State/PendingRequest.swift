import EventBus

/// A request whose caller waits for the reply.
struct PendingRequest: Sendable {
    let topic: Topic
    let deadline: AnyClock.Instant
    let waiter: OneShot<RequestAnswer>
    /// A Boolean value indicating whether the reply was passed to the caller, which has not resumed yet.
    var isAnswered = false
}
