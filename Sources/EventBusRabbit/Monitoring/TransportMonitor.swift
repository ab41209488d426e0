import EventBus

/// A distributor of transport events to observers and of measurements to metrics.
///
/// Observers and metrics are user code, so they run on tasks and never on an I/O thread. Each has a bounded buffer, so
/// that one that blocks delays nothing and exhausts no memory.
final class TransportMonitor: Sendable {
    /// A figure for a metric.
    enum Measurement: Sendable {
        case event(TransportEvent.Kind)
        /// The time from sending an event to its confirm.
        case confirm(Duration)
        /// The number of ready events in a queue, the time since the latest one that was delivered was published, and
        /// the number of consumers of all services.
        case queue(String, depth: Int, age: Duration, consumers: Int)
        /// The number of dead letters of a group, the time for which they have been seen, and the number of consumers.
        case deadLetters(group: String, count: Int, age: Duration, consumers: Int)
    }

    private struct State {
        var observers: [UInt64: AsyncStream<TransportEvent>.Continuation] = [:]
        var lastID: UInt64 = 0
        var isFinished = false
    }

    /// The number of events that an observer buffers. Later ones replace the earliest.
    static let bufferSize = 256
    private static let measurementBufferSize = 1024

    private let state = Locked(State())
    private let metrics: TransportMetrics?
    private let measurements: AsyncStream<Measurement>
    private let measured: AsyncStream<Measurement>.Continuation

    /// Creates a monitor.
    ///
    /// - Parameter metrics: The instruments, or `nil` if nothing is measured.
    init(metrics: TransportMetrics? = nil) {
        self.metrics = metrics
        (measurements, measured) = AsyncStream.makeStream(
            of: Measurement.self,
            bufferingPolicy: .bufferingNewest(Self.measurementBufferSize)
        )
    }

    /// A Boolean value indicating whether measurements are recorded.
    var isMeasuring: Bool { metrics != nil }

    /// A closure that records the time from sending an event to its confirm, or `nil` if nothing is measured.
    var onConfirm: (@Sendable (Duration) -> Void)? {
        guard isMeasuring else { return nil }
        return { time in self.record(.confirm(time)) }
    }

    /// Returns the events from now on. The stream ends with the transport.
    func events() -> AsyncStream<TransportEvent> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: TransportEvent.self,
            bufferingPolicy: .bufferingNewest(Self.bufferSize)
        )
        let id: UInt64? = state.withLock { state in
            guard !state.isFinished else { return nil }
            state.lastID += 1
            state.observers[state.lastID] = continuation
            return state.lastID
        }
        if let id {
            continuation.onTermination = { [weak self] _ in
                // The last reference to the continuation is released outside the lock.
                let removed = self?.state.withLock { $0.observers.removeValue(forKey: id) }
                withExtendedLifetime(removed) {}
            }
        } else {
            continuation.finish()
        }
        return stream
    }

    /// Passes an event to all observers.
    func note(_ kind: TransportEvent.Kind, _ subject: String, reason: String? = nil) {
        record(.event(kind))
        let observers = state.withLock { state in state.observers.isEmpty ? [] : Array(state.observers.values) }
        guard !observers.isEmpty else { return }
        let event = TransportEvent(kind, subject, reason: reason)
        for observer in observers { observer.yield(event) }
    }

    /// Records a measurement, if there are metrics.
    func record(_ measurement: Measurement) {
        if isMeasuring { measured.yield(measurement) }
    }

    /// Passes measurements to the metrics until the monitor is finished.
    func run() async {
        guard let metrics else { return }
        for await measurement in measurements { metrics.record(measurement) }
    }

    /// Ends the streams of all observers.
    func finish() {
        let observers = state.withLock { state in
            state.isFinished = true
            defer { state.observers = [:] }
            return state.observers
        }
        for observer in observers.values { observer.finish() }
        measured.finish()
    }
}
