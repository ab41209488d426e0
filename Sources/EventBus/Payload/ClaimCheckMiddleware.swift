/// The last step of a publish, which stores the bodies of large events.
struct ClaimCheckMiddleware: PromptMiddleware {
    let claimCheck: ClaimCheck
    let clock: AnyClock

    func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
        var event = event
        try await claimCheck.claim(&event.envelope, by: event.deadline, clock: clock)
        return try await next(event)
    }
}
