public import EventBus

/// Notifications in the memory of one process, which are also passed to a closure.
public actor InMemoryNotificationLog: NotificationLog {
    private var sent: [Notice] = []
    private var orderIDs: Set<String> = []
    private let deliver: @Sendable (Notice) throws -> Void

    /// Creates an empty log.
    ///
    /// - Parameter deliver: A closure that sends a notification. If it throws, the notification counts as not sent.
    ///   Defaults to doing nothing.
    public init(deliver: @escaping @Sendable (Notice) throws -> Void = { _ in }) {
        self.deliver = deliver
    }

    /// Sends a notification, unless there was one about its order before.
    @discardableResult
    public func send(_ notification: Notice, handling context: EventContext?) throws -> Bool {
        if orderIDs.contains(notification.orderID) { return false }
        try deliver(notification)
        orderIDs.insert(notification.orderID)
        sent.append(notification)
        return true
    }

    /// Returns all sent notifications in order.
    public func all() -> [Notice] { sent }
}
