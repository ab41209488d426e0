public import EventBus

/// Where notifications go: a log, or the post.
public protocol NotificationLog: Sendable {
    /// Sends a notification, unless there was one about its order before.
    ///
    /// - Parameters:
    ///   - notification: Whom to tell what.
    ///   - context: The delivery that is being handled: a log with an inbox records it with the notification; `nil`
    ///     where it is none.
    /// - Returns: Whether it was sent now.
    @discardableResult
    func send(_ notification: Notice, handling context: EventContext?) async throws -> Bool

    /// Everything that was sent, in order.
    func all() async throws -> [Notice]
}
