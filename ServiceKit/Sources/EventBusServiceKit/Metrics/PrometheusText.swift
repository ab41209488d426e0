/// A writer of Prometheus's text format, version 0.0.4.
struct PrometheusText {
    private(set) var text = ""
    private let service: String?

    /// Creates an empty text.
    ///
    /// - Parameter service: The service label of every sample that has no such label itself.
    init(service: String? = nil) {
        self.service = service
    }

    /// Begins a metric. Its samples have to follow.
    mutating func begin(_ name: String, _ kind: MetricKind, help: String) {
        text += "# HELP \(name) \(Self.escaped(help, quotes: false))\n# TYPE \(name) \(kind.rawValue)\n"
    }

    /// Writes a sample.
    ///
    /// - Parameter le: The upper bound of the bucket.
    mutating func sample(_ name: String, _ labels: MetricLabels, _ value: String, le: Double? = nil) {
        var pairs = labels.labels.map { ($0.name, $0.value) }
        if let service, !labels.labels.contains(where: { $0.name == "service" }) { pairs.append(("service", service)) }
        if let le { pairs.append(("le", Self.number(le))) }
        text += name
        if !pairs.isEmpty {
            text += "{"
            text += pairs.map { #"\#($0)="\#(Self.escaped($1, quotes: true))""# }.joined(separator: ",")
            text += "}"
        }
        text += " \(value)\n"
    }

    /// Returns a number in Prometheus's format.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
        return "\(value)"
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += #"\\"#
            case "\n": escaped += #"\n"#
            case "\"" where quotes: escaped += #"\""#
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
