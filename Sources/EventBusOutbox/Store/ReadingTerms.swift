package import EventBus

/// The conditions under which an event may be published.
package struct ReadingTerms: Sendable {
    /// The time, read inside the transaction.
    package var now: EventTime
    /// The longest delay that the broker supports.
    package var maximumDelay = Duration.seconds(Int64.max)
    /// A Boolean value indicating whether every event waits for a subscription, not only those that require one.
    package var requiresSubscriber = true
    /// The number of bytes of events after which no further event is read.
    package var maximumBytes = Int.max

    package init(
        now: EventTime,
        maximumDelay: Duration = .seconds(Int64.max),
        requiresSubscriber: Bool = true,
        maximumBytes: Int = .max
    ) {
        self.now = now
        self.maximumDelay = maximumDelay
        self.requiresSubscriber = requiresSubscriber
        self.maximumBytes = maximumBytes
    }

    /// Returns the reason why an event at the head of its key has to be moved out of the way, or `nil` if it may be
    /// published.
    ///
    /// - Parameter state: A function that returns the state of a topic, or `nil` for a topic of which no event was set
    ///   aside.
    package func removal(
        of event: StoredEvent,
        state: (Topic) throws -> TopicState?
    ) rethrows -> Removal? {
        if event.deliverAt != nil {
            let left = event.delay(at: now)
            if left > maximumDelay { return .early(until: now + (left - maximumDelay)) }
        }
        guard requiresSubscriber || event.requiresSubscriber else { return nil }
        return switch try state(event.envelope.topic) {
        case .isUnrouted: .unrouted
        case .isReturning(let first) where event.sequence > first: .unrouted
        default: nil
        }
    }
}

/// The reason why an entry at the head of a key has to be moved out of the way.
package enum Removal: Sendable {
    case unreadable(any Error)
    case unrouted
    case early(until: EventTime)
}

/// The treatment of a topic's events that reach the head of their key.
package enum TopicState: Sendable {
    /// The events wait with those that were set aside.
    case isUnrouted
    /// The events are published, except for those behind an event that has yet to return.
    case isReturning(before: Int64)
}
