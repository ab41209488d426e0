import EventBus

/// A request whose caller waits for the reply.
struct PendingRequest: Sendable {
    let topic: Topic
    let deadline: AnyClock.Instant
    let waiter: OneShot<RequestAnswer>
    /// A Boolean value indicating whether the result was passed to the caller, which has not resumed yet.
    var isReturning = false
}

extension BrokerState {
    /// Records that the caller of request `number` got a reply or an error and is about to resume, which needs no time.
    mutating func requestIsReturning(_ number: UInt64) {
        pendingRequests[number]?.isReturning = true
    }

    /// Records the same for the request whose event `extras` belong to, if it is one.
    mutating func requestIsReturning(of extras: EventMetadata?) {
        if let number = extras?.replyAddress.flatMap({ UInt64($0.requestID) }) { requestIsReturning(number) }
    }
}
