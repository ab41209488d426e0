public import EventBus

extension OutboxRelay {
    /// The settings of a relay.
    ///
    /// ```swift
    /// var configuration = OutboxRelay.Configuration()
    /// configuration.pollInterval = .milliseconds(250)
    /// let relay = OutboxRelay(database: database, bus: bus, configuration: configuration)
    /// ```
    public struct Configuration: Sendable {
        /// The maximum number of events that are published together, at most one of each partition key. Defaults to
        /// 500.
        public var batchSize: Int
        /// The interval at which the relay checks for events that other processes have stored, and whether another
        /// relay has stopped. Defaults to 1 s. Commits on this process's own database connection are noticed
        /// immediately.
        public var pollInterval: Duration
        /// The time for which this relay remains the publishing one without renewing its lease. Defaults to 10 s.
        ///
        /// After a crash, another relay, or the same service after a restart, publishes after this time at the latest.
        /// A publish must have its outcome within half of this time.
        public var leaseDuration: Duration
        /// The delays between attempts, and the number of attempts after which an event is parked. Defaults to 20
        /// attempts with delays from 200 ms to 30 s.
        ///
        /// An attempt counts only if the event itself is at fault (`EventBusError.Code.isAboutTheEvent`, or an error
        /// that is `NonRetryable`). If another attempt cannot help, the event is parked immediately. After every other
        /// error the event stays in the outbox and no attempt is used up: see ``maximumRetryInterval``.
        public var retry: RetryPolicy
        /// The maximum interval between attempts to publish an event that the broker refuses or does not confirm, or
        /// that has no subscriber. Defaults to 2 minutes.
        ///
        /// The intervals grow from the initial delay of ``retry``. When the broker accepts events again after an
        /// outage, the events that it held up are published immediately.
        public var maximumRetryInterval: Duration
        /// A Boolean value indicating whether an event without a subscriber stays in the outbox until there is one.
        /// Defaults to `true`. If it is `false`, such an event counts as published.
        public var requiresSubscriber: Bool
        /// The interval at which backlog and age are measured while there is work. Defaults to 5 s.
        public var measurementInterval: Duration

        /// Creates a configuration with every value at its default.
        public init() {
            batchSize = 500
            pollInterval = .seconds(1)
            leaseDuration = .seconds(10)
            retry = RetryPolicy(maximumAttempts: 20)
            maximumRetryInterval = .seconds(120)
            requiresSubscriber = true
            measurementInterval = .seconds(5)
        }

        /// The time within which a publish must have its outcome, well within the lease.
        var publishTimeout: Duration { leaseDuration / 2 }

        /// The delays between attempts for an event that the broker holds up.
        var holdRetry: RetryPolicy {
            var policy = retry
            policy.maximum = max(retry.maximum, maximumRetryInterval)
            return policy
        }

        /// The longest interval between attempts of any kind.
        var longestInterval: Duration { max(retry.maximum, maximumRetryInterval) }

        /// The configuration with every value clamped to its valid range.
        var corrected: Configuration {
            var corrected = self
            corrected.batchSize = min(max(1, batchSize), 10_000)
            corrected.pollInterval = min(max(.milliseconds(1), pollInterval), Self.longest)
            corrected.leaseDuration = min(max(.milliseconds(100), leaseDuration), Self.longest)
            corrected.maximumRetryInterval = min(max(.milliseconds(1), maximumRetryInterval), Self.longest)
            corrected.measurementInterval = min(max(.zero, measurementInterval), Self.longest)
            return corrected
        }

        /// The maximum of all intervals of a relay.
        private static let longest = Duration.seconds(24 * 60 * 60)
    }
}
