internal import Logging
internal import Synchronization

/// The status, for health and logs, of deliveries that are deferred without an attempt: because only a newer release can
/// handle them, because a store or broker that their handlers need is unreachable, because another consumer keeps its
/// claim on them, or because the inbox fails for them alone.
final class DeferralStatus: Sendable {
    private struct State {
        var count = 0
        var outage: (reason: String, at: AnyClock.Instant)?
        /// The last deferrals of events that do not keep others from being handled, by their reasons.
        var single: [Failure.Reason: (message: String, at: AnyClock.Instant)] = [:]
    }

    /// The time for which the deferral of single events is reported and not logged again.
    private static let memory = Duration.seconds(60)
    /// The time for which an outage is reported without another deferral. A deferred event is redelivered within 30
    /// seconds, but the last one may have been dead-lettered.
    private static let outageMemory = Duration.seconds(120)
    /// The time for which an event may wait for another consumer's claim before that is reported.
    private static let patience = Duration.seconds(60)

    private let subscription: SubscriptionInfo
    private let clock: AnyClock
    private let logger: BusLogger
    private let state = Locked(State())
    private let outage = Atomic(false)

    init(subscription: SubscriptionInfo, clock: AnyClock, logger: BusLogger) {
        self.subscription = subscription
        self.clock = clock
        self.logger = logger
    }

    /// Records a delivery that is deferred because of `failure`.
    ///
    /// - Parameter deferredFor: The time for which it has been deferred before.
    func note(_ failure: Failure, after deferredFor: Duration) {
        // A duplicate usually arrives while the first one is being handled.
        if failure.reason == .inProgress, deferredFor < Self.patience { return }
        let now = clock.now
        let isNew = state.withLock { state in
            state.count += 1
            // The handler works, and knows what it waits for.
            if failure.reason == .postponed { return false }
            if failure.reason != .unavailable {
                let last = state.single.updateValue((failure.message, now), forKey: failure.reason)
                return last.map { $0.at.duration(to: now) > Self.memory } ?? true
            }
            defer { state.outage = (failure.message, now) }
            outage.store(true, ordering: .releasing)
            return state.outage == nil
        }
        guard isNew else { return }
        let message: Logger.Message =
            switch failure.reason {
            case .newerVersion: "events wait for a newer release of this service, and count no attempt"
            case .inProgress: "events wait because another consumer keeps its claim on them, and count no attempt"
            case .inboxFailed: "the inbox fails for some events alone; they wait, and count no attempt"
            default: "handlers cannot work because a store or broker is away; their events wait, and count no attempt"
            }
        log(.warning, message, [LogKeys.error: "\(String(loggable: failure.message))"])
    }

    /// Records that a handler has succeeded.
    func noteHandled() {
        guard outage.load(ordering: .acquiring) else { return }
        let ended = state.withLock { state in
            defer { state.outage = nil }
            outage.store(false, ordering: .releasing)
            return state.outage != nil
        }
        if ended { log(.notice, "handlers work again", [:]) }
    }

    private func log(_ level: Logger.Level, _ message: Logger.Message, _ metadata: Logger.Metadata) {
        var metadata = metadata
        metadata[LogKeys.group] = "\(subscription.group)"
        metadata[LogKeys.subscription] = "\(subscription.name)"
        logger.logger.log(level: level, message, metadata: metadata)
    }

    /// The number of deferrals so far, the reason why handlers cannot work, and a remark about single events that were
    /// deferred within the last minute.
    var summary: (count: Int, outage: String?, remark: String?) {
        let now = clock.now
        return state.withLock { state in
            let recent = state.single.values.filter { $0.at.duration(to: now) <= Self.memory }.map(\.message).sorted()
            let outage = state.outage.flatMap { $0.at.duration(to: now) <= Self.outageMemory ? $0.reason : nil }
            return (state.count, outage, recent.isEmpty ? nil : recent.joined(separator: "; "))
        }
    }
}
