import CoreMetrics
import Synchronization

/// A histogram of durations.
final class HistogramSeries: TimerHandler, MetricSeries {
    static let kind = MetricKind.histogram

    /// The upper bounds of the buckets, in seconds.
    static let bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

    private struct State {
        // One for each bound, and one for all values above.
        var counts = [Int](repeating: 0, count: bounds.count + 1)
        var sum = 0.0
    }

    private let state = Mutex(State())

    init() {}

    func recordNanoseconds(_ duration: Int64) {
        let seconds = Double(max(0, duration)) / 1e9
        let bucket = Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += seconds
        }
    }

    /// Does nothing, because Prometheus expects durations in seconds.
    func preferDisplayUnit(_ unit: TimeUnit) {}

    func write(to text: inout PrometheusText, name: String, labels: MetricLabels) {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        var total = 0
        for (bound, count) in zip(Self.bounds + [.infinity], counts) {
            total += count
            text.sample(name + "_bucket", labels, "\(total)", le: bound)
        }
        text.sample(name + "_sum", labels, PrometheusText.number(sum))
        text.sample(name + "_count", labels, "\(total)")
    }
}
