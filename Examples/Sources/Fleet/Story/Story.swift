/// What happened to one order, from the request to the customer's notification, across all services.
public struct Story: Sendable {
    /// The order, by its own number.
    public var order: String
    /// What all that belongs to it carries.
    public var correlationID: String
    /// The work that was done, in order of time.
    public var spans: [Span]
    /// What was done to the fleet meanwhile, in order of time.
    public var events: [FleetEvent] = []

    /// Attempts that failed or that followed one that did, and requests that were sent again.
    public var retries: Int {
        let requests = spans.count(where: \.isPlacing)
        return spans.count { $0.failure != nil || ($0.attempt ?? 1) > 1 } + max(0, requests - 1)
    }

    /// Whether it ended with a rejection.
    public var isRejection: Bool { spans.contains { $0.topic == "order.cancelled" } }

    /// Whether all three services have a part in it.
    public var isComplete: Bool { Set(spans.map(\.kind)) == Set(ServiceKind.allCases) }

    /// How many microseconds it took.
    public var duration: Int64 {
        (spans.map { $0.start + $0.duration }.max() ?? 0) - (spans.first?.start ?? 0)
    }
}

/// The stories of all orders of a run.
public struct StoryBook: Sendable {
    /// The most steps of a story that is told unasked.
    private static let readableLength = 24

    private var stories: [String: Story] = [:]

    /// Puts together what belongs together.
    ///
    /// - Parameters:
    ///   - spans: All spans of all services.
    ///   - events: What was done to the fleet.
    ///   - orders: The orders' own numbers.
    public init(_ spans: [Span], events: [FleetEvent], orders: some Sequence<String>) {
        var correlations: [String: String] = [:]
        for span in spans {
            if let correlation = span.correlationID { correlations[span.traceID] = correlation }
        }
        // A span that does not say belongs to the correlation of its trace.
        let grouped = Dictionary(grouping: spans) { $0.correlationID ?? correlations[$0.traceID] ?? "" }
        for order in orders {
            let correlation = Till.correlationID(of: order)
            guard let own = grouped[correlation] else { continue }
            let sorted = own.sorted { ($0.start, -$0.duration) < ($1.start, -$1.duration) }
            guard let first = sorted.first, let last = sorted.last else { continue }
            stories[order] = Story(
                order: order,
                correlationID: correlation,
                spans: sorted,
                events: events.filter { (first.start...last.start + last.duration).contains($0.time) }
            )
        }
    }

    /// The story of an order; `nil` if nothing is known of it.
    public subscript(order: String) -> Story? { stories[order] }

    /// How many stories have a part in each of the three services.
    public var completeCount: Int { stories.values.count(where: \.isComplete) }

    /// The story that is best worth telling: one with a retry, else one with a rejection, that is not too long.
    public var mostInteresting: Story? {
        let complete = stories.values.filter(\.isComplete)
        let short = complete.filter { $0.spans.count + $0.events.count <= Self.readableLength }
        return (short.isEmpty ? complete : short).max {
            ($0.retries, $0.isRejection ? 1 : 0, $0.order) < ($1.retries, $1.isRejection ? 1 : 0, $1.order)
        }
    }
}
