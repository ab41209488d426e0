/// Where notifications go: in this shop, a log.
public protocol NotificationLog: Sendable {
    /// Sends a notification, unless there was one about its order before.
    ///
    /// - Returns: Whether it was sent now.
    @discardableResult
    func send(_ notification: Notice) async throws -> Bool

    /// Everything that was sent, in order.
    func all() async throws -> [Notice]
}
