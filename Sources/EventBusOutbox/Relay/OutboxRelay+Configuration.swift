public import EventBus

extension OutboxRelay {
    /// How a relay behaves.
    public struct Configuration: Sendable {
        /// The number of events that are published at a time, at most one of each partition key. Defaults to 500.
        public var batchSize: Int
        /// The interval at which the relay looks for events that other processes have stored, and for whether another
        /// relay has stopped. Defaults to 1 s. Commits of this process's own database connection are noticed at once.
        public var pollInterval: Duration
        /// The time for which this relay goes on being the one that publishes if nothing more is heard of it. Defaults to
        /// 10 s.
        ///
        /// After a crash another one, or the same service started again, publishes after this time at the latest. It is
        /// also twice the time within which a publish has to have its outcome.
        public var leaseDuration: Duration
        /// The delays between attempts, and the number of attempts after which an event is parked. Defaults to 20 attempts
        /// from 200 ms to 30 s.
        ///
        /// An attempt counts only where the event itself is at fault (`EventBusError.Code.isAboutTheEvent`, or an error
        /// that is `NonRetryable`); where trying again cannot help, the event is parked at once. Every other error leaves
        /// the event in the outbox, and uses up no attempt: see ``maximumRetryInterval``.
        public var retry: RetryPolicy
        /// The longest interval at which an event is tried again that the broker refuses or gives no answer for, or that
        /// nobody subscribes to. Defaults to 2 minutes.
        ///
        /// The intervals grow from the initial delay of ``retry``. Once the broker takes events again after an outage, the
        /// events that it held up go out at once.
        public var maximumRetryInterval: Duration
        /// A Boolean value that indicates whether an event that nobody subscribes to stays until someone does. Defaults to
        /// `true`. Otherwise it counts as published.
        public var requiresSubscriber: Bool
        /// The interval at which backlog and age are measured while there is work. Defaults to 5 s.
        public var measurementInterval: Duration

        /// Creates a configuration with every value at its default.
        public init() {
            batchSize = 500
            pollInterval = .seconds(1)
            leaseDuration = .seconds(10)
            retry = RetryPolicy(maxAttempts: 20)
            maximumRetryInterval = .seconds(120)
            requiresSubscriber = true
            measurementInterval = .seconds(5)
        }

        /// The time within which a publish has its outcome: well within the lease.
        var publishTimeout: Duration { leaseDuration / 2 }

        /// The intervals at which an event is tried again that the broker holds up.
        var holdRetry: RetryPolicy {
            var policy = retry
            policy.maximum = max(retry.maximum, maximumRetryInterval)
            return policy
        }

        /// The longest interval at which anything is tried again.
        var longestInterval: Duration { max(retry.maximum, maximumRetryInterval) }

        /// Clamps every value to its valid range.
        var corrected: Configuration {
            var corrected = self
            corrected.batchSize = min(max(1, batchSize), 10_000)
            corrected.pollInterval = min(max(.milliseconds(1), pollInterval), Self.longest)
            corrected.leaseDuration = min(max(.milliseconds(100), leaseDuration), Self.longest)
            corrected.maximumRetryInterval = min(max(.milliseconds(1), maximumRetryInterval), Self.longest)
            corrected.measurementInterval = min(max(.zero, measurementInterval), Self.longest)
            return corrected
        }

        /// No interval of a relay is longer.
        private static let longest = Duration.seconds(24 * 60 * 60)
    }
}
