public import EventBus

extension OutboxRelay {
    /// How a relay behaves.
    public struct Configuration: Sendable {
        /// How many events are published at a time; 500 unless stated. At most one of each partition key.
        public var batchSize: Int
        /// How often to look for events that other processes have stored, and whether another relay has stopped; 1 s
        /// unless stated. Commits of this process's own database connection are noticed at once.
        public var pollInterval: Duration
        /// How long this relay goes on being the one that publishes if nothing more is heard of it; 10 s unless stated.
        ///
        /// After a crash another one, or the same service started again, publishes after this time at the latest. It is
        /// also twice the time within which a publish has to have its outcome.
        public var leaseDuration: Duration
        /// When an event that failed is tried again, and after how many attempts it is parked; 20 attempts from 200 ms
        /// to 30 s unless stated.
        ///
        /// An attempt counts only where the fault may be the event's own. That the broker cannot be reached, or takes
        /// nothing, uses up no attempt; neither does the lack of a subscriber. Both are tried again with these delays.
        public var retry: RetryPolicy
        /// Whether an event that nobody has subscribed to stays until someone has; true unless stated. Otherwise it
        /// counts as published.
        public var requiresSubscriber: Bool
        /// How often backlog and age are measured while there is work; 5 s unless stated.
        public var measurementInterval: Duration

        /// A configuration with every value at its default.
        public init() {
            batchSize = 500
            pollInterval = .seconds(1)
            leaseDuration = .seconds(10)
            retry = RetryPolicy(maxAttempts: 20)
            requiresSubscriber = true
            measurementInterval = .seconds(5)
        }

        /// By when a publish has its outcome: well within the lease.
        var publishTimeout: Duration { leaseDuration / 2 }

        /// Takes every value to where it makes sense.
        var corrected: Configuration {
            var corrected = self
            corrected.batchSize = max(1, batchSize)
            corrected.pollInterval = max(.milliseconds(1), pollInterval)
            corrected.leaseDuration = max(.milliseconds(100), leaseDuration)
            return corrected
        }
    }
}
