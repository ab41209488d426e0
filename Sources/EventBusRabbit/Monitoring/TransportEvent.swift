import EventBus

/// A change of a transport's connections and consumers, or a publish that reached no queue.
///
/// ```swift
/// let transport = try RabbitTransport(configuration)
/// let changes = transport.events()
/// Task {
///     for await change in changes where change.kind == .disconnected {
///         alert("lost the connection \(change.subject): \(change.reason ?? "")")
///     }
/// }
/// ```
public struct TransportEvent: Hashable, Sendable, CustomStringConvertible {
    /// The kind of a transport event.
    public struct Kind: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case connected, disconnected, blocked, unblocked
            case consumerAttached = "consumer_attached"
            case consumerDetached = "consumer_detached"
            case returned, refused
        }

        private let value: Value

        private init(_ value: Value) { self.value = value }

        /// The kind as a word, such as `consumer_attached`. It is the value of the label `kind` in metrics.
        public var description: String { value.rawValue }

        /// A connection was established.
        public static let connected = Kind(.connected)
        /// An established connection ended.
        public static let disconnected = Kind(.disconnected)
        /// The broker stopped accepting events on a connection, for example because its memory or disk is low.
        public static let blocked = Kind(.blocked)
        /// The broker accepts events on a connection again.
        public static let unblocked = Kind(.unblocked)
        /// A consumer started to receive deliveries from its queue.
        public static let consumerAttached = Kind(.consumerAttached)
        /// A consumer stopped receiving deliveries, because it was closed or lost its channel.
        public static let consumerDetached = Kind(.consumerDetached)
        /// An event, a retry or a dead letter matched no queue.
        public static let returned = Kind(.returned)
        /// The broker or one of its queues refused an event, a retry or a dead letter.
        public static let refused = Kind(.refused)
    }

    /// The kind of the change.
    public let kind: Kind
    /// The subject: the name of the connection (`publish`, `reply`, `consume`, `consume-2` …), the queue of the consumer, or the
    /// routing key of the event, with control characters escaped, and truncated to 2 KiB.
    public let subject: String
    /// The reason, in the words of the broker or of the network, or `nil` if there is none. Control characters are escaped,
    /// and it is truncated to 2 KiB.
    public let reason: String?

    init(_ kind: Kind, _ subject: String, reason: String? = nil) {
        self.kind = kind
        // Both may contain what another service or the broker has chosen.
        self.subject = String(loggable: subject)
        self.reason = reason.map { String(loggable: $0) }
    }

    /// The kind, the subject and the reason.
    public var description: String { "\(kind) \(subject)" + (reason.map { ": \($0)" } ?? "") }
}
