import CoreMetrics
import EventBus
import Metrics

/// The metrics of a lock, under `eventbus.lock.`.
struct LockMetrics: Sendable {
    private let acquired: Counter
    private let timedOut: Counter
    private let cancelled: Counter
    private let failed: Counter
    private let wait: Metrics.Timer
    private let waiting: Meter
    private let handedOver: Counter
    /// Losses are noticed on the thread of a connection, which must not wait for the handler of a metric.
    private let losses: BackgroundQueue<Void>

    /// Creates the metrics with `factory`, which defaults to the bootstrapped metrics system.
    init(prefix: String, factory: (any MetricsFactory)? = nil) {
        let factory = factory ?? MetricsSystem.factory
        let lock = [("lock", prefix)]
        func counter(_ outcome: String) -> Counter {
            Counter(
                label: "eventbus.lock.acquisitions",
                dimensions: lock + [("outcome", outcome)],
                factory: factory
            )
        }
        acquired = counter("acquired")
        timedOut = counter("timed_out")
        cancelled = counter("cancelled")
        failed = counter("failed")
        let lost = Counter(label: "eventbus.lock.lost", dimensions: lock, factory: factory)
        losses = BackgroundQueue(capacity: 1 << 16) { losses, dropped in lost.increment(by: losses.count + dropped) }
        waiting = Meter(label: "eventbus.lock.waiting", dimensions: lock, factory: factory)
        handedOver = Counter(label: "eventbus.lock.handovers", dimensions: lock, factory: factory)
        wait = Metrics.Timer(label: "eventbus.lock.wait", dimensions: lock, factory: factory)
    }

    /// Records that a lock was granted after `duration`.
    func noteGrant(after duration: Duration) {
        acquired.increment()
        let (seconds, attoseconds) = duration.components
        wait.recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }

    /// Records that a call began to wait in the queue of a resource.
    func noteWaitBegan() { waiting.increment() }

    /// Records that a call no longer waits, because it was granted the lock, or for another reason.
    func noteWaitEnded(isGranted: Bool) {
        waiting.decrement()
        if isGranted { handedOver.increment() }
    }

    /// Records that a lock was not granted.
    func noteFailure(_ error: any Error) {
        switch error {
        case is CancellationError: cancelled.increment()
        case let error as EventBusError where error.code == .lockTimedOut: timedOut.increment()
        default: failed.increment()
        }
    }

    /// Records that a lease ended before its holder released it.
    func noteLoss() {
        losses.add(())
    }
}
