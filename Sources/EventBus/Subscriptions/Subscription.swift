/// One handler of one group, with a queue of its own.
///
/// The subscription lives as long as its bus, or until it is cancelled; keeping this value is not necessary.
public struct Subscription: Sendable {
    private let runner: SubscriptionRunner
    private let onEnd: @Sendable () -> Void

    init(runner: SubscriptionRunner, onEnd: @escaping @Sendable () -> Void) {
        self.runner = runner
        self.onEnd = onEnd
    }

    /// The group whose members share the deliveries.
    public var group: String { runner.info.group }

    /// The subscription's name within the group.
    public var name: String { runner.info.name }

    /// How it is.
    public var health: ComponentHealth { runner.health }

    /// Waits until the queue is bound and deliveries come: what is published from then on arrives.
    ///
    /// - Throws: ``EventBusError``: `.invalidName`, `.duplicateSubscription`, `.topologyClash`, `.accessRefused` and the
    ///   like if the subscription can never be attached; `.shuttingDown` if it was cancelled; `CancellationError`.
    public func attached() async throws {
        try await runner.waitUntilAttached()
    }

    /// Ends the subscription: no new deliveries, unstarted ones go back to the broker, running handlers end in peace
    /// until the bus's shutdown deadline. The queue stays, and collects events for whoever attaches next.
    ///
    /// Returns when all of that is done. Inside one of the subscription's own handlers, and in a cancelled task, it
    /// returns at once: the end comes when the handlers have ended.
    public func cancel() async {
        runner.stop()
        if runner.isRunningCaller { return }
        do {
            try await runner.waitUntilEnded()
        } catch {
            // Cancelled: the bus forgets the subscription once it has ended.
            return
        }
        onEnd()
    }
}
