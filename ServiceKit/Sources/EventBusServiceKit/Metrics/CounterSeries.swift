import CoreMetrics
import Synchronization

/// A counter, whose value only grows.
final class CounterSeries: CounterHandler, FloatingPointCounterHandler, MetricSeries {
    static let kind = MetricKind.counter

    private let whole = Atomic<Int64>(0)
    private let fraction = Mutex(0.0)

    init() {}

    func increment(by amount: Int64) {
        // Prometheus takes a decreasing counter for a restarted process.
        if amount > 0 { whole.wrappingAdd(amount, ordering: .relaxed) }
    }

    func increment(by amount: Double) {
        if amount > 0 { fraction.withLock { $0 += amount } }
    }

    func reset() {
        whole.store(0, ordering: .relaxed)
        fraction.withLock { $0 = 0 }
    }

    func write(to text: inout PrometheusText, name: String, labels: MetricLabels) {
        let fraction = fraction.withLock { $0 }
        let whole = whole.load(ordering: .relaxed)
        if fraction == 0 {
            text.sample(name, labels, "\(whole)")
        } else {
            text.sample(name, labels, PrometheusText.number(Double(whole) + fraction))
        }
    }
}
