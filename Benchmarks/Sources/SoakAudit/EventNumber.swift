/// The topic of an event of the soak. Each has one group of consumers.
package enum SoakTopic: UInt8, CaseIterable, Sendable {
    /// Events without an order.
    case plain = 1
    /// Events that are handled in order by key.
    case keyed
    /// Events whose consumers have an inbox.
    case inbox

    /// The name of the topic's group.
    package var group: String {
        switch self {
        case .plain: "plain"
        case .keyed: "keyed"
        case .inbox: "inbox"
        }
    }

    /// The name of the topic's queue.
    package var queue: String { "\(group).soak-\(group)" }
}

/// The identity of an event of the soak: its topic, its stream and its place in the stream.
///
/// A stream is a series of events that one task publishes one after another. It is also the key of its events.
package struct EventNumber: Hashable, Sendable {
    /// The result that the handlers of an event have.
    package enum Behavior: Sendable {
        case succeeds, failsOnce, alwaysFails
    }

    /// The number.
    package let rawValue: UInt64

    /// Creates a number from its representation.
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Creates the number of an event.
    package init(_ topic: SoakTopic, publisher: Int, task: Int, sequence: UInt64) {
        rawValue = UInt64(topic.rawValue) << 56 | UInt64(publisher) << 48 | UInt64(task) << 40 | sequence
    }

    /// The topic, or `nil` if the number is not that of an event.
    package var topic: SoakTopic? { SoakTopic(rawValue: UInt8(rawValue >> 56)) }
    /// The stream, with the topic.
    package var stream: UInt64 { rawValue >> 40 }
    /// The place in the stream, from 1.
    package var sequence: UInt64 { rawValue & (1 << 40 - 1) }

    /// A hash of the number, which decides about the event's contents.
    package var hash: UInt64 {
        var generator = SeededGenerator(seed: rawValue)
        return generator.next()
    }

    /// The result that the event's handlers have.
    package var behavior: Behavior {
        switch hash % 1000 {
        case 0..<2: .alwaysFails
        case 2..<30: .failsOnce
        default: .succeeds
        }
    }

    /// The event's id.
    package var id: String { "soak-" + String(rawValue, radix: 16) }

    /// Returns the number of the event with this id, or `nil` for any other id.
    package init?(id: String) {
        guard id.hasPrefix("soak-"), let number = UInt64(id.dropFirst(5), radix: 16) else { return nil }
        self.init(rawValue: number)
    }
}
