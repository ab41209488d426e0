import CoreMetrics
import Synchronization

/// A gauge, whose value grows and shrinks.
final class GaugeSeries: MeterHandler, RecorderHandler, MetricSeries {
    static let kind = MetricKind.gauge

    private let value = Mutex(0.0)

    init() {}

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { self.value.withLock { $0 = value } }
    func increment(by amount: Double) { value.withLock { $0 += amount } }
    func decrement(by amount: Double) { value.withLock { $0 -= amount } }
    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }

    func write(to text: inout PrometheusText, name: String, labels: MetricLabels) {
        text.sample(name, labels, PrometheusText.number(value.withLock { $0 }))
    }
}
