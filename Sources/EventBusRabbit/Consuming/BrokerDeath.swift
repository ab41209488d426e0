import EventBus

/// The broker's record of the last time it dead-lettered an event from some queue.
///
/// The broker writes the newest record first, so the first one of a queue that the event has passed is its own, and its
/// queue and reason are facts. Records that a publisher put into the header follow. A broker before 4.0, however, completes a record
/// of the same queue and reason that the publisher began, and keeps the publisher's exchange and routing key.
struct BrokerDeath {
    var reason: String
    var queue: String
    var exchange: String
    /// The first routing key.
    var routingKey: String
    /// The number of routing keys. There are more than one if the message has the header `CC`.
    var keyCount = 0
    var time: EventTime?

    /// Creates the newest record of a queue that satisfies a condition. Returns `nil` if there is none.
    init?(_ headers: HeaderTable, where isIncluded: (_ queue: String) -> Bool) {
        guard case .array(let entries)? = headers[WireHeaders.death] else { return nil }
        for case .table(let values) in entries {
            guard let queue = values["queue"]?.string, let reason = values["reason"]?.string, isIncluded(queue)
            else { continue }
            self.queue = queue
            self.reason = reason
            exchange = values["exchange"]?.string ?? ""
            routingKey = ""
            if case .array(let keys)? = values["routing-keys"] {
                routingKey = keys.first?.string ?? ""
                keyCount = keys.count
            }
            if case .timestamp(let seconds)? = values["time"] {
                time = EventTime(foreignSeconds: seconds)
            }
            return
        }
        return nil
    }
}
