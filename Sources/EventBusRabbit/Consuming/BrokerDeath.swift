import EventBus

/// The broker's record of the last time it dead-lettered an event from some queue.
///
/// The broker writes the newest record first, so the first one of a queue that the event has passed is its own, and its
/// queue and reason are facts. Records that a publisher put into the header follow. A broker before 4.0, however, completes a record
/// of the same queue and reason that the publisher began, and keeps the publisher's exchange and routing key, and the types
/// of its values: a text may be a byte array.
struct BrokerDeath {
    var reason: String
    var queue: String
    var exchange: String
    /// The first routing key.
    var routingKey: String
    /// The number of routing keys. There are more than one if the message has the header `CC`.
    var keyCount = 0
    var time: EventTime?

    /// The result of looking for the newest record of some queue.
    enum Newest {
        /// The broker has never dead-lettered the event.
        case none
        /// A publisher may have written what the header contains.
        case unknown
        /// The record.
        case record(BrokerDeath)
    }

    /// Returns the newest record of a queue that satisfies a condition.
    ///
    /// Only records of the delay levels may precede it. What follows another one may be a publisher's.
    static func newest(in headers: HeaderTable, where isIncluded: (_ queue: String) -> Bool) -> Newest {
        guard let header = headers[WireHeaders.death] else { return .none }
        guard case .array(let entries) = header else { return .unknown }
        for entry in entries {
            guard case .table(let values) = entry, let death = BrokerDeath(values) else { return .unknown }
            if isIncluded(death.queue) { return .record(death) }
            guard death.queue.beginsWithBytes(of: TopologyNames.delayPrefix) else { return .unknown }
        }
        return .unknown
    }

    /// A Boolean value indicating whether a consumer had received the event.
    var isOfConsumer: Bool { reason == "rejected" || reason == "delivery_limit" }

    /// Returns a Boolean value indicating whether an entry of the header is the record of this queue and reason.
    func isWritten(in entry: HeaderValue) -> Bool {
        guard case .table(let values) = entry, let other = BrokerDeath(values) else { return false }
        return other.queue.utf8.elementsEqual(queue.utf8) && other.reason == reason
    }

    private init?(_ values: HeaderTable) {
        guard let queue = Self.text(values["queue"]), let reason = Self.text(values["reason"]) else { return nil }
        self.queue = queue
        self.reason = reason
        exchange = Self.text(values["exchange"]) ?? ""
        routingKey = ""
        if case .array(let keys)? = values["routing-keys"] {
            routingKey = Self.text(keys.first) ?? ""
            keyCount = keys.count
        }
        if case .timestamp(let seconds)? = values["time"] {
            time = EventTime(foreignSeconds: seconds)
        }
    }

    private static func text(_ value: HeaderValue?) -> String? {
        switch value {
        case .string(let text)?: text
        case .bytes(let bytes)?: String(validating: bytes, as: UTF8.self)
        default: nil
        }
    }
}
