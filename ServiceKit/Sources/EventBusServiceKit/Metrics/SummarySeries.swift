import CoreMetrics
import Synchronization

/// The number of values and their sum. It has no quantiles, because those of several processes cannot be combined.
final class SummarySeries: RecorderHandler, MetricSeries {
    static let kind = MetricKind.summary

    private let values = Mutex((count: 0, sum: 0.0))

    init() {}

    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        values.withLock { values in
            values.count += 1
            values.sum += value
        }
    }

    func write(to text: inout PrometheusText, name: String, labels: MetricLabels) {
        let values = values.withLock { $0 }
        text.sample(name + "_sum", labels, PrometheusText.number(values.sum))
        text.sample(name + "_count", labels, "\(values.count)")
    }
}
