/// The help texts of metrics. They are listed here because swift-metrics has no place for them.
enum MetricHelp {
    /// Returns the help of a metric, or its type if it is unknown.
    static func text(for label: String, _ kind: MetricKind) -> String {
        known[label] ?? "The \(kind.rawValue) \(label)."
    }

    private static let known = [
        "eventbus.published": "Events published, by topic and outcome.",
        "eventbus.publish.duration": "How long publishing took until the broker had confirmed.",
        "eventbus.delivered": "Events delivered, by topic and group.",
        "eventbus.handled": "Attempts to handle an event, by outcome.",
        "eventbus.retried": "Attempts that failed and are made again.",
        "eventbus.dead_lettered": "Events given up, by reason.",
        "eventbus.in_flight": "Events that are being handled.",
        "eventbus.handler.duration": "How long handlers took.",
        "eventbus.handler.timed_out": "Handlers that passed their time limit and were cancelled.",
        "eventbus.local.failed": "Local listeners that failed.",
        "http.server.requests": "Requests, by method, route and status.",
        "http.server.request.duration": "How long requests took until the response was there.",
    ]
}
