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
    /// ```swift
    /// let subscription = bus.subscribe(to: OrderCreated.self, group: "inventory") { order, context in … }
    /// try await subscription.attached()  // From now on, no event is missed.
    /// ```
    ///
    /// - Throws: ``EventBusError``: `.invalidName`, `.duplicateSubscription`, `.topologyClash`, `.accessRefused` and
    ///   others if the subscription can never be attached; `.shuttingDown` if it was cancelled; `.reentrant` inside one of
    ///   the subscription's own handlers, if the subscription is attached again only after it; `CancellationError`.
    public func attached() async throws {
        try await runner.waitUntilAttached()
    }

    /// A Boolean value indicating whether ``pause()`` was called and not ``resume()``. The pauses of an unreachable inbox
    /// and of a ``CircuitBreaker`` do not count.
    public var isPaused: Bool { runner.isPaused }

    /// Pauses the subscription in this process until ``resume()`` is called. Its queue collects events.
    ///
    /// ```swift
    /// await subscription.pause()
    /// try await migrateDatabase()
    /// subscription.resume()
    /// ```
    ///
    /// The subscription gives up its place at the broker: deliveries that were not started are returned, and other
    /// instances of the group continue. A by-key subscription hands its keys over to another instance. If its events come
    /// back to this one, their attempts and the delays of their retries continue. The queue of a broadcast collects events
    /// as long as its connection lasts. Before the bus runs, the subscription declares its queue when the bus starts, and
    /// is paused then.
    ///
    /// The call returns when the running handlers have returned. Inside one of the subscription's own handlers, and in a
    /// cancelled task, it returns immediately. A paused subscription counts as ready, and its health and the metric
    /// `eventbus.paused` tell of the pause.
    public func pause() async {
        await runner.pause()
    }

    /// Continues after ``pause()``. ``attached()`` waits until deliveries arrive again.
    public func resume() {
        runner.resume()
    }

    /// Changes ``SubscriptionOptions/concurrency`` while the subscription runs.
    ///
    /// Its queue is attached again, after the running handlers have returned: until then, nothing starts. Inside one of
    /// the subscription's own handlers, and in a cancelled task, the call returns before that.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidConfiguration` if the number does not suit the other options.
    public func changeConcurrency(to concurrency: Int) async throws {
        try await runner.changeConcurrency(to: concurrency)
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
