internal import Logging

/// The renewer of the claims of running handlers. It has a single task, which sleeps between rounds.
///
/// A handler that ends within a third of the lease costs an entry in a table and no renewal. The task starts with the
/// first claim, and ends when a round finds no claim.
final class ClaimRenewer: Sendable {
    private struct Entry {
        let claim: InboxClaim
        /// The delivery, which log lines name.
        let context: EventContext
        /// The end of the claim as far as this process knows, measured from before the last successful call.
        var end: AnyClock.Instant
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        var lastNumber: UInt64 = 0
        var isRunning = false
        var task: Task<Void, Never>?
    }

    private let inbox: any Inbox
    private let lease: Duration
    private let state = Locked(State())

    init(inbox: any Inbox, lease: Duration) {
        self.inbox = inbox
        self.lease = lease
    }

    deinit {
        state.withLock { $0.task }?.cancel()
    }

    /// Renews a claim that was requested at `start`, until it is removed by the returned number.
    func add(_ claim: InboxClaim, since start: AnyClock.Instant, handling context: EventContext) -> UInt64 {
        let entry = Entry(claim: claim, context: context, end: start.advanced(by: lease))
        let (number, starts) = state.withLock { state in
            state.lastNumber &+= 1
            state.entries[state.lastNumber] = entry
            defer { state.isRunning = true }
            return (state.lastNumber, !state.isRunning)
        }
        if starts { startRounds(context.clock) }
        return number
    }

    /// Ends the renewal of a claim.
    ///
    /// - Returns: The end of the claim as far as this process knows, or `nil` if it was lost.
    func remove(_ number: UInt64) -> AnyClock.Instant? {
        state.withLock { $0.entries.removeValue(forKey: number)?.end }
    }

    private func startRounds(_ clock: AnyClock) {
        // Detached, because the task must not carry the context of the event that happens to start it. It does not keep
        // the renewer alive while it sleeps.
        let task = Task.detached { [weak self, lease] in
            var pause = lease / 3
            while true {
                guard (try? await clock.sleep(until: clock.now.advanced(by: pause))) != nil else { return }
                guard let next = await self?.renewAll(clock) else { return }
                pause = next
            }
        }
        state.withLock { $0.task = task }
    }

    /// Renews every claim that is older than a sixth of its lease, so that none becomes older than half of it.
    ///
    /// - Returns: The time until the next round, which is shorter after a failure, or `nil` if none is needed.
    private func renewAll(_ clock: AnyClock) async -> Duration? {
        let now = clock.now
        let due: [(UInt64, Entry)]? = state.withLock { state in
            guard !state.entries.isEmpty else {
                state.isRunning = false
                return nil
            }
            return state.entries.filter { $0.value.end <= now.advanced(by: lease * 5 / 6) }.map { ($0.key, $0.value) }
        }
        guard let due else { return nil }
        return await withTaskGroup(of: Bool.self) { group in
            for (number, entry) in due { group.addTask { await self.renew(number, entry, clock) } }
            var hasFailed = false
            for await isDone in group where !isDone { hasFailed = true }
            return hasFailed ? lease / 12 : lease / 3
        }
    }

    /// Renews one claim.
    ///
    /// - Returns: `true` if the claim is renewed or lost, so that it need not be tried again soon.
    private func renew(_ number: UInt64, _ entry: Entry, _ clock: AnyClock) async -> Bool {
        let start = clock.now
        do {
            try await inbox.renew(entry.claim, lease: lease)
            state.withLock { $0.entries[number]?.end = start.advanced(by: lease) }
            return true
        } catch let error as EventBusError where error.code == .leaseExpired {
            guard remove(number) != nil else { return true }
            entry.context.logger.warning(
                "the claim on an event was lost while its handler runs, and another consumer may handle it too",
                metadata: [LogKeys.error: "\("\(error)".printable)"]
            )
            return true
        } catch {
            // Tried again in the next round. The claim stays active until its end.
            let metadata: Logger.Metadata = [LogKeys.error: "\("\(error)".printable)"]
            entry.context.logger.debug("a claim could not be renewed", metadata: metadata)
            return false
        }
    }
}
