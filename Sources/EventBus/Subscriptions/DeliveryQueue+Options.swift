extension DeliveryQueue {
    /// The treatment of a delivery that has waited too long for an attempt.
    enum TooOld {
        /// Only this delivery is returned to the broker.
        case returns
        /// All deliveries are returned in order, one by one, because the queue ends with its channel. The broker
        /// redelivers them to the same consumer.
        case returnsAll
        /// All deliveries are returned in order by closing and reopening the channel.
        case reopensChannel
    }

    struct Options {
        var byKey = false
        /// The maximum number of workers.
        var workers = 1
        /// A Boolean value indicating whether a handler whose delivery was revoked is cancelled.
        var cancelsRevoked = true
        /// The time that a cancelled handler has to end before it is abandoned.
        var cancellationGrace = Duration.zero
        var tooOld = TooOld.returns
        /// The maximum time for which a delivery may wait for its first attempt.
        var maximumWait = Duration.zero
        /// The maximum age at which another attempt at a delivery may start.
        var maximumAge = Duration.longest
        /// A Boolean value indicating whether arrival times are recorded.
        var watchesAge = false
    }
}
