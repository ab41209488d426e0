extension DeliveryQueue {
    /// What is done with a delivery that waited too long for its first attempt.
    enum TooOld {
        /// It begins all the same.
        case begins
        /// It alone is returned to the broker.
        case returns
        /// Everything is returned in order: the channel is closed and opened again.
        case reopensChannel
    }

    struct Options {
        var byKey = false
        /// How many workers there are at most.
        var workers = 1
        /// Whether a handler whose delivery was revoked is cancelled.
        var cancelsRevoked = true
        var tooOld = TooOld.begins
        /// How long a delivery may wait for its first attempt.
        var maximumWait = Duration.zero
        /// Whether arrivals are noted.
        var watchesAge = false
    }
}
