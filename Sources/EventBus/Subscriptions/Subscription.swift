/// A subscription of one group, with its own queue.
///
/// ```swift
/// let subscription = bus.subscribe(to: OrderCreated.self, group: "inventory") { order, _ in try await reserve(order) }
/// try await subscription.attached()
/// ```
///
/// The subscription exists as long as its bus, or until it is cancelled. It is not necessary to keep this value.
public struct Subscription: Sendable {
    private let runner: SubscriptionRunner
    private let onEnd: @Sendable () -> Void

    init(runner: SubscriptionRunner, onEnd: @escaping @Sendable () -> Void) {
        self.runner = runner
        self.onEnd = onEnd
    }

    /// The group, whose members share the deliveries.
    public var group: String { runner.info.group }

    /// The subscription's name within the group.
    public var name: String { runner.info.name }

    /// The health of the subscription.
    public var health: ComponentHealth { runner.health }

    /// Waits until the queue is bound and deliveries arrive. Events that are published afterwards reach the
    /// subscription.
    ///
    /// - Throws: ``EventBusError``: `.invalidName`, `.duplicateSubscription`, `.topologyClash`, `.accessRefused` and
    ///   others if the subscription can never be attached; `.shuttingDown` if it was cancelled; `CancellationError`.
    public func attached() async throws {
        try await runner.waitUntilAttached()
    }

    /// Ends the subscription. It receives no new deliveries, deliveries that were not started are returned to the
    /// broker, and running handlers may finish until the bus's shutdown deadline. The queue continues to exist, and
    /// collects events for the next consumer.
    ///
    /// The call returns when all of that is done. Inside one of the subscription's own handlers, and in a cancelled
    /// task, it returns immediately, and the subscription ends when the handlers have ended.
    public func cancel() async {
        runner.stop()
        if runner.isRunningCaller { return }
        do {
            try await runner.waitUntilEnded()
        } catch {
            // Cancelled, so the bus forgets the subscription when it has ended.
            return
        }
        onEnd()
    }
}
