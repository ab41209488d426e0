/// What a ``LocalEmitter`` reports when a listener threw, or could not be given an event.
public struct LocalListenerFailure: Sendable {
    /// The topic of the event.
    public let topic: Topic
    /// The listener; it says where it was registered.
    public let listener: LocalListener
    /// What the listener threw, or an ``EventBusError`` with code `.mailboxFull` when an async listener's mailbox had
    /// no room for the event.
    public let error: any Error
}

extension LocalListenerFailure: CustomStringConvertible {
    /// Topic, listener and error in one line.
    public var description: String {
        "local event \(topic): \(listener) failed: \(error)"
    }
}
