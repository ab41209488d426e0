/// A check that tells an error of one event from an outage of the inbox. It asks for an event that does not exist.
///
/// An error that belongs to one event, such as a locked or damaged row, would otherwise pause the subscription until
/// somebody removes its cause.
final class InboxCheck: Sendable {
    private static let topic: Topic = "eventbus.inbox-check"
    /// The maximum time to wait for an answer.
    private static let limit = Duration.seconds(5)

    private let inbox: any Inbox
    private let lease: Duration
    private let current = Locked<Task<Bool, Never>?>(nil)

    init(inbox: any Inbox, lease: Duration) {
        self.inbox = inbox
        self.lease = lease
    }

    /// Returns a Boolean value indicating whether the inbox answers. Concurrent callers share one check.
    func inboxAnswers(_ context: EventContext) async -> Bool {
        let (subscription, clock) = (context.subscription.queueName, context.clock)
        let task = current.withLock { current in
            if let current { return current }
            // Unstructured, because the time limit may have cancelled the task of the caller.
            let task = Task { await self.ask(for: subscription, clock) }
            current = task
            return task
        }
        return await task.value
    }

    private func ask(for subscription: String, _ clock: AnyClock) async -> Bool {
        let key = InboxKey(topic: Self.topic, eventID: EventID(), subscription: subscription)
        let deadline = clock.now.advanced(by: min(lease, Self.limit))
        let (inbox, lease) = (inbox, lease)
        let decision = try? await withFirmDeadline(deadline, clock: clock) { try await inbox.begin(key, lease: lease) }
        // If this fails, the claim expires.
        if case .new(let claim)? = decision { Task { try? await inbox.abandon(claim) } }
        current.withLock { $0 = nil }
        return decision != nil
    }
}
