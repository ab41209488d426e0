/// The failure of a ``LocalEmitter``'s listener that threw or could not receive an event.
public struct LocalListenerFailure: Sendable {
    /// The topic of the event.
    public let topic: Topic
    /// The listener, with the location of its registration.
    public let listener: LocalListener
    /// The error of the listener, or an ``EventBusError`` with code `.mailboxFull` if an asynchronous listener's
    /// mailbox had no room for the event.
    public let error: any Error
}

extension LocalListenerFailure: CustomStringConvertible {
    /// The topic, listener and error on one line.
    public var description: String {
        "local event \(topic): \(listener) failed: \(error)"
    }
}
