/// The type of a metric in Prometheus.
enum MetricKind: String, Hashable, Sendable {
    case counter
    case gauge
    case histogram
    case summary

    /// Returns the names of the samples of a family.
    func sampleNames(_ name: String) -> Set<String> {
        switch self {
        case .counter, .gauge: [name]
        case .summary: [name, name + "_sum", name + "_count"]
        case .histogram: [name, name + "_bucket", name + "_sum", name + "_count"]
        }
    }
}

/// One metric with one set of labels.
protocol MetricSeries: AnyObject, Sendable {
    static var kind: MetricKind { get }
    init()
    func write(to text: inout PrometheusText, name: String, labels: MetricLabels)
}

/// A metric with all of its labels.
struct MetricFamily {
    let name: String
    let help: String
    let kind: MetricKind
    private var series: [MetricLabels: any MetricSeries] = [:]

    init(name: String, help: String, kind: MetricKind) {
        self.name = name
        self.help = help
        self.kind = kind
    }

    /// Returns the series with these labels, or the shared series if there are already `maximum` series.
    mutating func series<Series: MetricSeries>(_ labels: MetricLabels, maximum: Int) -> Series {
        if let known = series[labels] as? Series { return known }
        let labels = series.count < maximum ? labels : labels.others
        if let known = series[labels] as? Series { return known }
        let made = Series()
        series[labels] = made
        return made
    }

    mutating func remove(_ handler: AnyObject) {
        guard let labels = series.first(where: { $0.value === handler })?.key else { return }
        series[labels] = nil
    }

    func write(to text: inout PrometheusText) {
        guard !series.isEmpty else { return }
        text.begin(name, kind, help: help)
        for (labels, series) in series.sorted(by: { $0.key < $1.key }) {
            series.write(to: &text, name: name, labels: labels)
        }
    }
}
