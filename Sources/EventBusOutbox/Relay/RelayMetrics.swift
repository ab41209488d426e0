internal import CoreMetrics
internal import EventBus

/// The metrics of a relay.
struct RelayMetrics: Sendable {
    private let backlog: Gauge
    private let oldestAge: Gauge
    private let parked: Gauge
    private let withoutSubscriber: Gauge
    private let published: Counter
    private let givenUp: Counter

    init(factory: any MetricsFactory) {
        backlog = Gauge(label: "eventbus.outbox.backlog", factory: factory)
        oldestAge = Gauge(label: "eventbus.outbox.oldest_age_seconds", factory: factory)
        parked = Gauge(label: "eventbus.outbox.parked", factory: factory)
        withoutSubscriber = Gauge(label: "eventbus.outbox.without_subscriber", factory: factory)
        published = Counter(label: "eventbus.outbox.published", factory: factory)
        givenUp = Counter(label: "eventbus.outbox.given_up", factory: factory)
    }

    func record(_ figures: OutboxBacklog) {
        backlog.record(figures.count)
        oldestAge.record(figures.oldestAge?.inSeconds ?? 0)
        parked.record(figures.parked)
        withoutSubscriber.record(figures.withoutSubscriber)
    }

    func notePublished(_ count: Int) {
        published.increment(by: Int64(count))
    }

    func noteGivenUp(_ count: Int) {
        givenUp.increment(by: Int64(count))
    }
}
