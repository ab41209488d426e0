/// The names that all services of a virtual host share, and those that belong to a group or a subscription.
///
/// Names contain a version, because the arguments of an exchange or a queue can never be changed. A change requires a
/// new name.
enum TopologyNames {
    /// The direct exchange that routes dead letters to their group's queue by the group's name.
    static let deadLetterExchange = "eventbus.dead.v1"
    /// The exchange at the end of the delay levels, which routes to the queue.
    static let delayExit = "eventbus.delay.v1.exit"
    /// The exchange after the due queues, which routes to a queue by its name.
    static let delayDue = "eventbus.delay.v1.due"
    /// The exchange and the queue for delayed events whose queue is missing.
    static let delayUnroutable = "eventbus.delay.v1.unroutable"

    /// The prefix of the names of all exchanges of the delay levels, in every version.
    static let delayPrefix = "eventbus.delay."

    /// Returns the name of the exchange and the queue of a delay level.
    static func delayLevel(_ level: Int) -> String { "eventbus.delay.v1.\(level)" }

    /// Returns the name of the queue in which due events wait until a subscription's queue accepts them.
    static func dueQueue(of queue: String) -> String { "\(delayDue).\(queue)" }

    /// Returns the name of the queue that counts the consumers of a queue that ended without closing it in order.
    static func crashRecord(of queue: String) -> String { "eventbus.crashes.v1.\(queue)" }

    /// Returns the name of the queue with the dead letters of a group.
    static func deadLetterQueue(of group: String) -> String { "\(group).dead" }
}
