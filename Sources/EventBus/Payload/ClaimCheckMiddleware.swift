/// The last step of a publish, which stores the bodies of large events.
struct ClaimCheckMiddleware: PromptMiddleware {
    let claimCheck: ClaimCheck
    let clock: AnyClock

    func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
        var event = event
        try await claimCheck.claim(&event.envelope, by: event.deadline, clock: clock)
        return try await next(event)
    }

    /// Stores the bodies of the large ones of several events concurrently, and replaces them by their names.
    ///
    /// Half of the time is left to send the events, because a store that does not answer for one event must not hold up
    /// the others.
    ///
    /// - Returns: The errors by the positions of the events that cannot be sent.
    func claim(_ events: inout [OutgoingEvent]) async -> [Int: any Error] {
        let large = events.indices.filter { claimCheck.stores(events[$0].envelope) }
        guard let deadline = events.map(\.deadline).min(), !large.isEmpty else { return [:] }
        let now = clock.now
        let limit = now.advanced(by: max(.zero, now.duration(to: deadline)) / 2)
        var failures: [Int: any Error] = [:]
        await withTaskGroup(of: (Int, Result<Envelope, any Error>).self) { group in
            var rest = large[...]
            func addNext() {
                guard let index = rest.popFirst() else { return }
                let envelope = events[index].envelope
                group.addTask { (index, await claimed(envelope, by: limit)) }
            }
            for _ in 0..<Self.concurrentCalls { addNext() }
            for await (index, result) in group {
                switch result {
                case .success(let envelope): events[index].envelope = envelope
                case .failure(let error): failures[index] = error
                }
                addNext()
            }
        }
        return failures
    }

    private func claimed(_ envelope: Envelope, by limit: AnyClock.Instant) async -> Result<Envelope, any Error> {
        var envelope = envelope
        do {
            try await claimCheck.claim(&envelope, by: limit, clock: clock)
            return .success(envelope)
        } catch {
            return .failure(error)
        }
    }

    /// The maximum number of bodies of one call that are stored at the same time.
    private static let concurrentCalls = 16
}
