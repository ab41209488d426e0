internal import Logging

/// The renewer of the claims of running handlers. It has a single task, which sleeps between rounds.
///
/// A handler that ends within a third of the lease costs an entry in a table and no renewal. The task starts with the
/// first claim, and ends when a round finds no claim. No round waits for the inbox, so a renewal without an answer blocks
/// no other. If the inbox renews claims itself (``ClaimRenewing``), rounds only end claims.
///
/// A handler that was cancelled has one more lease to end. Then its claim is left to expire, so that an event whose handler
/// never returns can be taken over.
final class ClaimRenewer: Sendable {
    private struct Entry {
        let claim: InboxClaim
        /// The delivery, which log lines name.
        let context: EventContext
        /// The end of the claim as far as this process knows, measured from before the last successful call.
        var end: AnyClock.Instant
        /// A Boolean value indicating whether a renewal is in progress.
        var isRenewing = false
        /// A Boolean value indicating whether a renewal found the claim lost, or the claim is left to expire.
        var isLost = false
        /// The time after which the claim is left to expire, because the handler was cancelled, or `nil` if it was not.
        var renewalEnd: AnyClock.Instant?
        /// The action at ``end``, which is set when the handler has ended and the last calls to the inbox are in progress.
        var onEnd: (@Sendable () -> Void)?

        /// Returns the time at which a round has to process the claim.
        func due(lease: Duration) -> AnyClock.Instant {
            onEnd == nil ? end.advanced(by: .zero - lease * 2 / 3) : end
        }
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        var lastNumber: UInt64 = 0
        var isRunning = false
        var task: Task<Void, Never>?

        /// Returns a Boolean value indicating whether a claim is left to expire from now on.
        mutating func leaves(_ number: UInt64, at now: AnyClock.Instant, lease: Duration) -> Bool {
            guard var entry = entries[number], !entry.isLost, entry.onEnd == nil, entry.context.isHandlerCancelled
            else { return false }
            let end = entry.renewalEnd ?? now.advanced(by: lease)
            entry.renewalEnd = end
            entry.isLost = end <= now
            entries[number] = entry
            return entry.isLost
        }
    }

    private let inbox: any Inbox
    /// The inbox, if it renews claims itself.
    private let renewingInbox: (any ClaimRenewing)?
    private let lease: Duration
    private let state = Locked(State())

    init(inbox: any Inbox, lease: Duration) {
        self.inbox = inbox
        self.renewingInbox = inbox as? any ClaimRenewing
        self.lease = lease
    }

    deinit {
        state.withLock { $0.task }?.cancel()
    }

    /// Claims an event. Call ``add(_:since:handling:)`` or ``leave(_:)`` with a claim.
    func begin(_ key: InboxKey) async throws -> InboxDecision {
        if let renewingInbox { return try await renewingInbox.beginRenewing(key, lease: lease) }
        return try await inbox.begin(key, lease: lease)
    }

    /// Leaves a claim that was not added to expire.
    func leave(_ claim: InboxClaim) {
        renewingInbox?.stopRenewing(claim)
    }

    /// Renews a claim that was requested at `start`, until ``finish(_:_:onEnd:)`` is called with the returned number.
    func add(_ claim: InboxClaim, since start: AnyClock.Instant, handling context: EventContext) -> UInt64 {
        let entry = Entry(claim: claim, context: context, end: start.advanced(by: lease))
        let (number, starts) = state.withLock { state in
            state.lastNumber &+= 1
            state.entries[state.lastNumber] = entry
            defer { state.isRunning = true }
            return (state.lastNumber, !state.isRunning)
        }
        if starts { startRounds(context.clock) }
        if let renewingInbox {
            let left = context.clock.now.duration(to: entry.end)
            renewingInbox.startRenewing(claim, lease: lease, left: left) { [weak self] outcome in
                let now = entry.context.clock.now
                self?.note(number, entry, outcome.map { now.advanced(by: $0) })
            }
        }
        return number
    }

    /// Ends the renewal of a claim whose handler has ended. Call ``remove(_:)`` afterwards.
    ///
    /// - Parameter onEnd: The closure to call if the claim ends before its removal. It is not called within a third of the
    ///   lease, so that the inbox has time to answer.
    /// - Returns: The end of the claim as far as this process knows, or `nil` if it was lost.
    func finish(
        _ number: UInt64,
        _ clock: AnyClock,
        onEnd: @escaping @Sendable () -> Void
    ) -> AnyClock.Instant? {
        let now = clock.now
        let (claim, end): (InboxClaim?, AnyClock.Instant?) = state.withLock { state in
            guard var entry = state.entries[number] else { return (nil, nil) }
            let end = entry.isLost ? nil : entry.end
            entry.end = max(entry.end, now.advanced(by: lease / 3))
            entry.onEnd = onEnd
            state.entries[number] = entry
            return (entry.claim, end)
        }
        if let claim { renewingInbox?.stopRenewing(claim) }
        return end
    }

    /// Forgets a claim.
    func remove(_ number: UInt64) {
        // Released outside the lock, because that may run deinitializers of the user.
        let removed = state.withLock { $0.entries.removeValue(forKey: number) }
        _ = removed
    }

    private func startRounds(_ clock: AnyClock) {
        // Detached, because the task must not carry the context of the event that happens to start it. It does not keep
        // the renewer alive while it sleeps.
        let task = Task.detached { [weak self, lease] in
            var pause = lease / 3
            while true {
                guard (try? await clock.sleep(until: clock.now.advanced(by: pause))) != nil else { return }
                guard let next = self?.makeRound(clock) else { return }
                pause = next
            }
        }
        state.withLock { $0.task = task }
    }

    /// Starts the renewal of every claim that is older than a third of its lease.
    ///
    /// - Returns: The time until the next round, or `nil` if none is needed. A round follows soon after a renewal, which
    ///   may have failed.
    private func makeRound(_ clock: AnyClock) -> Duration? {
        let now = clock.now
        let soon = max(.milliseconds(1), lease / 12)
        let round: (due: [(UInt64, Entry)], left: [Entry], pause: Duration)? = state.withLock { state in
            guard !state.entries.isEmpty else {
                state.isRunning = false
                return nil
            }
            var (due, left): ([(UInt64, Entry)], [Entry]) = ([], [])
            var pause = lease / 3
            for (number, entry) in state.entries where !entry.isLost || entry.onEnd != nil {
                guard !state.leaves(number, at: now, lease: lease) else {
                    left.append(entry)
                    continue
                }
                let wait = now.duration(to: entry.due(lease: lease))
                pause = min(pause, max(soon, wait))
                guard wait <= .zero, entry.onEnd != nil || !entry.isRenewing else { continue }
                state.entries[number]?.isRenewing = true
                due.append((number, entry))
            }
            return (due, left, pause)
        }
        guard let round else { return nil }
        for entry in round.left { leave(entry) }
        for (number, entry) in round.due {
            if let onEnd = entry.onEnd {
                onEnd()
            } else if renewingInbox == nil {
                Task { await renew(number, entry, clock) }
            }
        }
        return round.pause
    }

    /// Leaves a claim to expire.
    private func leave(_ entry: Entry) {
        renewingInbox?.stopRenewing(entry.claim)
        entry.context.logger.warning(
            "no longer renews the inbox claim of a handler that ignores its cancellation; it will expire"
        )
    }

    private func renew(_ number: UInt64, _ entry: Entry, _ clock: AnyClock) async {
        let start = clock.now
        do {
            try await inbox.renew(entry.claim, lease: lease)
            note(number, entry, .success(start.advanced(by: lease)))
        } catch {
            note(number, entry, .failure(error))
        }
    }

    /// Handles the outcome of a renewal, which is the new end of the claim or an error.
    private func note(_ number: UInt64, _ entry: Entry, _ outcome: Result<AnyClock.Instant, any Error>) {
        switch outcome {
        case .success(let end):
            guard update(number, { $0.end = max($0.end, end) }), renewingInbox != nil else { return }
            // Rounds may come late, because handlers may block all threads that tasks run on.
            let now = entry.context.clock.now
            if state.withLock({ $0.leaves(number, at: now, lease: lease) }) { leave(entry) }
        case .failure(let error):
            let isLost = (error as? EventBusError)?.code == .leaseExpired
            guard update(number, { $0.isLost = $0.isLost || isLost }) else { return }
            let metadata: Logger.Metadata = [LogKeys.error: "\(String(loggable: error))"]
            if isLost {
                entry.context.logger.warning(
                    "lost the inbox claim on an event while its handler runs; another consumer may handle it too",
                    metadata: metadata
                )
            } else {
                // Tried again soon. The claim stays active until its end.
                entry.context.logger.debug("could not renew an inbox claim", metadata: metadata)
            }
        }
    }

    /// Records the outcome of a renewal.
    ///
    /// - Returns: `true` if the handler is still running.
    private func update(_ number: UInt64, _ change: (inout Entry) -> Void) -> Bool {
        state.withLock { state in
            guard var entry = state.entries[number], entry.onEnd == nil else { return false }
            entry.isRenewing = false
            change(&entry)
            state.entries[number] = entry
            return true
        }
    }
}
