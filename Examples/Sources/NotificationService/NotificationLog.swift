public import EventBus

/// A destination for notifications.
public protocol NotificationLog: Sendable {
    /// Sends a notification, unless there was one about its order before.
    ///
    /// - Parameters:
    ///   - notification: The notice.
    ///   - context: The delivery that is being handled, which a log with an inbox records with the notification, or
    ///     `nil`.
    /// - Returns: `true` if it was sent now.
    @discardableResult
    func send(_ notification: Notice, handling context: EventContext?) async throws -> Bool

    /// Returns all sent notifications in order.
    func all() async throws -> [Notice]
}
