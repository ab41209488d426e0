/// The conversion of names to Prometheus's rules.
enum MetricName {
    /// Returns the name of a metric: the timer `eventbus.publish.duration` becomes `eventbus_publish_duration_seconds`.
    static func exported(_ label: String, as kind: MetricKind) -> String {
        let name = sanitized(label, allowingColon: true)
        return switch kind {
        case .counter: name.hasSuffix("_total") ? name : name + "_total"
        case .histogram: name.hasSuffix("_seconds") ? name : name + "_seconds"
        case .gauge, .summary: name
        }
    }

    /// Returns the name of a label. Names with two leading underscores, `le` and `quantile` are reserved for
    /// Prometheus.
    static func label(_ text: String) -> String {
        let name = sanitized(text, allowingColon: false)
        return name.hasPrefix("__") || name == "le" || name == "quantile" ? "label_" + name : name
    }

    private static func sanitized(_ text: String, allowingColon: Bool) -> String {
        var name = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "a"..."z", "A"..."Z", "_": name.unicodeScalars.append(scalar)
            case "0"..."9":
                if name.isEmpty { name = "_" }
                name.unicodeScalars.append(scalar)
            case ":" where allowingColon: name.unicodeScalars.append(scalar)
            default: name += "_"
            }
        }
        return name.isEmpty ? "_" : name
    }
}

/// The labels of a series, sorted by name.
struct MetricLabels: Hashable, Comparable, Sendable {
    struct Label: Hashable, Comparable, Sendable {
        var name: String
        var value: String

        static func < (lhs: Label, rhs: Label) -> Bool {
            (lhs.name, lhs.value) < (rhs.name, rhs.value)
        }
    }

    private(set) var labels: [Label]

    /// Creates labels from the dimensions of swift-metrics. If a name occurs twice, the first value counts.
    init(_ dimensions: [(String, String)] = []) {
        var labels: [Label] = []
        for (dimension, value) in dimensions {
            let name = MetricName.label(dimension)
            if !labels.contains(where: { $0.name == name }) { labels.append(Label(name: name, value: value)) }
        }
        self.labels = labels.sorted()
    }

    /// The labels of the series that represents all series beyond the limit.
    var others: MetricLabels {
        var others = self
        for index in labels.indices { others.labels[index].value = "other" }
        return others
    }

    static func < (lhs: MetricLabels, rhs: MetricLabels) -> Bool {
        lhs.labels.lexicographicallyPrecedes(rhs.labels)
    }
}
