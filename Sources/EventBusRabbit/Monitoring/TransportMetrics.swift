import CoreMetrics
import EventBus

/// The metrics of a transport, under `eventbus.transport.`.
struct TransportMetrics: Sendable {
    private let factory: any MetricsFactory
    private let confirm: CoreMetrics.Timer

    /// Creates the metrics with `factory`, which defaults to the bootstrapped metrics system. Returns `nil` if none was
    /// bootstrapped.
    init?(factory: (any MetricsFactory)? = nil) {
        let factory = factory ?? MetricsSystem.factory
        guard !(factory is NOOPMetricsHandler) else { return nil }
        self.factory = factory
        confirm = CoreMetrics.Timer(label: "eventbus.transport.confirm.duration", dimensions: [], factory: factory)
    }

    func record(_ measurement: TransportMonitor.Measurement) {
        switch measurement {
        case .event(let kind):
            Counter(
                label: "eventbus.transport.events",
                dimensions: [("kind", kind.description)],
                factory: factory
            ).increment()
        case .confirm(let duration):
            confirm.recordNanoseconds(duration.inNanoseconds)
        case .queue(let name, let depth, let age, let consumers):
            gauge("queue.depth", ("queue", name), Double(depth))
            gauge("queue.age", ("queue", name), age.seconds)
            gauge("queue.consumers", ("queue", name), Double(consumers))
        case .deadLetters(let group, let count, let age, let consumers):
            gauge("dead_letters.depth", ("group", group), Double(count))
            gauge("dead_letters.age", ("group", group), age.seconds)
            gauge("dead_letters.consumers", ("group", group), Double(consumers))
        }
    }

    private func gauge(_ name: String, _ label: (String, String), _ value: Double) {
        Gauge(label: "eventbus.transport.\(name)", dimensions: [label], factory: factory).record(value)
    }
}

extension Duration {
    fileprivate var seconds: Double { Double(inNanoseconds) / 1_000_000_000 }
}
