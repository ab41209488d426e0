public import EventBus

/// Notifications in the memory of one process, and wherever it is told to send them.
public actor InMemoryNotificationLog: NotificationLog {
    private var sent: [Notice] = []
    private var orderIDs: Set<String> = []
    private let deliver: @Sendable (Notice) throws -> Void

    /// A log in which nothing was sent.
    ///
    /// - Parameter deliver: Sends a notification; one that cannot be sent counts as not sent. Nowhere if left out.
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

    /// Everything that was sent, in order.
    public func all() -> [Notice] { sent }
}
