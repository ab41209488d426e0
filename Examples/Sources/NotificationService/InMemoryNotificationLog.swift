public import EventBus

/// Notifications in the memory of one process.
public actor InMemoryNotificationLog: NotificationLog {
    private var sent: [Notice] = []
    private var orderIDs: Set<String> = []

    /// A log in which nothing was sent.
    public init() {}

    /// Sends a notification, unless there was one about its order before.
    @discardableResult
    public func send(_ notification: Notice, handling context: EventContext?) -> Bool {
        guard orderIDs.insert(notification.orderID).inserted else { return false }
        sent.append(notification)
        return true
    }

    /// Everything that was sent, in order.
    public func all() -> [Notice] { sent }
}
