/// The names that all services of a virtual host share, and those that belong to a group or a subscription.
///
/// Names carry a version: an argument of an exchange or a queue can never be changed, only a new name given.
enum TopologyNames {
    /// The direct exchange through which dead letters reach their group's queue, by the group's name.
    static let deadLetterExchange = "eventbus.dead.v1"
    /// The exchange at the end of the delay levels, which finds the queue.
    static let delayExit = "eventbus.delay.v1.exit"
    /// The exchange behind the due queues, which leads to a queue by its name.
    static let delayDue = "eventbus.delay.v1.due"
    /// Where delayed events go whose queue is gone: exchange and queue have one name.
    static let delayUnroutable = "eventbus.delay.v1.unroutable"

    /// The beginning of the names of all exchanges of the delay levels, in every version.
    static let delayPrefix = "eventbus.delay."

    /// Exchange and queue of a delay level.
    static func delayLevel(_ level: Int) -> String { "eventbus.delay.v1.\(level)" }

    /// Where delayed events that are due wait until a subscription's queue takes them.
    static func dueQueue(of queue: String) -> String { "\(delayDue).\(queue)" }

    /// Where the dead letters of a group rest.
    static func deadLetterQueue(of group: String) -> String { "\(group).dead" }
}
