extension DeliveryQueue {
    /// The treatment of a delivery that has waited too long for its first attempt.
    enum TooOld {
        /// The delivery starts nevertheless.
        case begins
        /// Only this delivery is returned to the broker.
        case returns
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
        var tooOld = TooOld.begins
        /// The maximum time for which a delivery may wait for its first attempt.
        var maximumWait = Duration.zero
        /// A Boolean value indicating whether arrival times are recorded.
        var watchesAge = false
    }
}
