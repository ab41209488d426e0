public import CoreMetrics
import Synchronization

/// The metrics of a process in Prometheus's text format, version 0.0.4.
///
/// ```swift
/// let registry = MetricsRegistry(service: "inventory")
/// MetricsSystem.bootstrap(registry)
/// Counter(label: "stock.reserved", dimensions: [("warehouse", "north")]).increment()
/// print(registry.text())  // stock_reserved_total{warehouse="north",service="inventory"} 1
/// ```
///
/// A ``ServiceDefinition`` bootstraps one and serves it at `/metrics`. The metrics of the process itself, such as
/// memory and file descriptors, are part of the text on Linux.
///
/// | swift-metrics | Prometheus | name |
/// |---|---|---|
/// | `Counter`, `FloatingPointCounter` | counter | `eventbus.published` becomes `eventbus_published_total` |
/// | `Meter`, `Gauge`, a `Recorder` that does not aggregate | gauge | `eventbus.in_flight` becomes `eventbus_in_flight` |
/// | `Recorder` | summary: count and sum | |
/// | `Timer` | histogram of seconds | `eventbus.handler.duration` becomes `eventbus_handler_duration_seconds` |
///
/// A name has at most ``maximumSeries`` series. Further ones are counted in a series whose labels are all `other`, so
/// that a label with too many values exhausts neither the memory of the process nor the index of Prometheus.
public final class MetricsRegistry: MetricsFactory {
    /// The maximum number of series of a name.
    public let maximumSeries: Int

    private let state = Mutex(State())

    private struct State {
        var families: [FamilyKey: MetricFamily] = [:]
        var sampleNames: Set<String> = []
        var service: String?
    }

    private struct FamilyKey: Hashable {
        let label: String
        let kind: MetricKind
    }

    /// Creates a registry without metrics.
    ///
    /// - Parameters:
    ///   - service: The name that becomes the label `service` of every series, or `nil` for no such label.
    ///   - maximumSeries: The maximum number of series of a name. Defaults to 1000.
    public init(service: String? = nil, maximumSeries: Int = 1000) {
        self.maximumSeries = maximumSeries
        state.withLock { $0.service = service }
    }

    /// Adds the service's name as a label to every series.
    func setService(_ name: String) {
        state.withLock { $0.service = name }
    }

    /// Returns all metrics in Prometheus's text format.
    public func text() -> String {
        let (families, service) = state.withLock { (Array($0.families.values), $0.service) }
        var text = PrometheusText(service: service)
        for family in families.sorted(by: { $0.name < $1.name }) { family.write(to: &text) }
        ProcessMetrics.write(to: &text)
        return text.text
    }

    private func series<Series: MetricSeries>(
        _ label: String,
        _ dimensions: [(String, String)],
        of type: Series.Type = Series.self
    ) -> Series {
        let key = FamilyKey(label: label, kind: Series.kind)
        let labels = MetricLabels(dimensions)
        return state.withLock { state in
            var family = state.families.removeValue(forKey: key) ?? Self.family(key, &state.sampleNames)
            defer { state.families[key] = family }
            return family.series(labels, maximum: maximumSeries)
        }
    }

    /// Returns a family with a unique name. None of its samples belongs to another family.
    private static func family(_ key: FamilyKey, _ taken: inout Set<String>) -> MetricFamily {
        let base = MetricName.exported(key.label, as: key.kind)
        var name = base
        var attempt = 1
        while !taken.isDisjoint(with: key.kind.sampleNames(name)) {
            attempt += 1
            name = "\(base)_\(key.kind.rawValue)\(attempt == 2 ? "" : "\(attempt)")"
        }
        taken.formUnion(key.kind.sampleNames(name))
        return MetricFamily(name: name, help: MetricHelp.text(for: key.label, key.kind), kind: key.kind)
    }

    private func remove(_ handler: AnyObject) {
        state.withLock { state in
            for key in state.families.keys { state.families[key]?.remove(handler) }
        }
    }

    // MARK: MetricsFactory

    /// Returns a counter.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions, of: CounterSeries.self)
    }

    /// Returns a counter of fractions.
    public func makeFloatingPointCounter(
        label: String,
        dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        series(label, dimensions, of: CounterSeries.self)
    }

    /// Returns a gauge.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions, of: GaugeSeries.self)
    }

    /// Returns a summary, or a gauge if it does not aggregate.
    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        if aggregate {
            series(label, dimensions, of: SummarySeries.self)
        } else {
            series(label, dimensions, of: GaugeSeries.self)
        }
    }

    /// Returns a histogram of seconds.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions, of: HistogramSeries.self)
    }

    /// Removes the series of a counter.
    public func destroyCounter(_ handler: any CounterHandler) { remove(handler) }
    /// Removes the series of a counter of fractions.
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { remove(handler) }
    /// Removes the series of a gauge.
    public func destroyMeter(_ handler: any MeterHandler) { remove(handler) }
    /// Removes the series of a recorder.
    public func destroyRecorder(_ handler: any RecorderHandler) { remove(handler) }
    /// Removes the series of a timer.
    public func destroyTimer(_ handler: any TimerHandler) { remove(handler) }
}
