/// A reader of the stored bodies of a bus.
///
/// After the store has been silent once, no further delivery waits for it: each is deferred at once, and one of them asks
/// the store in the background. An answer, also an error, ends the silence. Otherwise a silent store would occupy the
/// workers of all subscriptions.
final class ClaimCheckReader: Sendable {
    private struct State {
        var isSilent = false
        /// A Boolean value indicating whether the store is being asked in the background.
        var isProbing = false
    }

    private let claimCheck: ClaimCheck
    private let state = Locked(State())

    init(_ claimCheck: ClaimCheck) { self.claimCheck = claimCheck }

    /// Returns an event whose payload is a name with its stored body.
    func redeemed(_ envelope: Envelope, clock: AnyClock) async throws(EventBusError) -> Envelope {
        let (isSilent, probes) = state.withLock { state in
            let probes = state.isSilent && !state.isProbing
            if probes { state.isProbing = true }
            return (state.isSilent, probes)
        }
        guard isSilent else { return try await ask(envelope, clock: clock) }
        if probes {
            // Detached, because it outlives the attempt at this event.
            Task.detached {
                _ = try? await self.ask(envelope, clock: clock)
                self.state.withLock { $0.isProbing = false }
            }
        }
        throw EventBusError(
            .unavailable,
            "the store of the body of event \(envelope.id) of topic \(envelope.topic) has not answered another request yet"
        )
    }

    private func ask(_ envelope: Envelope, clock: AnyClock) async throws(EventBusError) -> Envelope {
        try await claimCheck.redeemed(envelope, clock: clock) { isSilent in
            self.state.withLock { $0.isSilent = isSilent }
        }
    }
}
