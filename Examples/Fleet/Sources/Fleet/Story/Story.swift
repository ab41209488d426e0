import EventStory

/// The history of one order across all services, from the request to the customer's notification.
public struct Story: Sendable {
    /// The original number of the order.
    public var order: String
    /// The correlation id of everything that belongs to it.
    public var correlationID: String
    /// The spans in order of time.
    public var spans: [Span]
    /// The disturbances of the fleet meanwhile, in order of time.
    public var events: [FleetEvent] = []

    /// The number of failed attempts and their retries, and of repeated requests.
    public var retries: Int {
        let requests = spans.count(where: \.isPlacing)
        return spans.count { $0.failure != nil || ($0.attempt ?? 1) > 1 } + max(0, requests - 1)
    }

    /// A Boolean value indicating whether it ended with a rejection.
    public var isRejection: Bool { spans.contains { $0.topic == "order.cancelled" } }

    /// A Boolean value indicating whether all three services contributed to it.
    public var isComplete: Bool { Set(spans.map(\.kind)) == Set(ServiceKind.allCases) }

    /// The duration in microseconds.
    public var duration: Int64 {
        (spans.map { $0.start + $0.duration }.max() ?? 0) - (spans.first?.start ?? 0)
    }
}

/// The stories of all orders of a run.
public struct StoryBook: Sendable {
    /// The maximum number of steps in a story that is chosen automatically.
    private static let readableLength = 24

    private var stories: [String: Story] = [:]

    /// Groups spans into stories.
    ///
    /// - Parameters:
    ///   - spans: All spans of all services.
    ///   - events: The disturbances of the fleet.
    ///   - orders: The original numbers of the orders.
    public init(_ spans: [Span], events: [FleetEvent], orders: some Sequence<String>) {
        var correlations: [String: String] = [:]
        for span in spans {
            if let correlation = span.correlationID { correlations[span.traceID] = correlation }
        }
        // A span without a correlation id belongs to the correlation of its trace.
        let grouped = Dictionary(grouping: spans) { $0.correlationID ?? correlations[$0.traceID] ?? "" }
        for order in orders {
            let correlation = LoadGenerator.correlationID(of: order)
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

    /// Returns the story of an order, or `nil` if there is none.
    public subscript(order: String) -> Story? { stories[order] }

    /// The number of stories to which all three services contributed.
    public var completeCount: Int { stories.values.count(where: \.isComplete) }

    /// The most interesting story that is not too long: one with a retry, or otherwise one with a rejection.
    public var mostInteresting: Story? {
        let complete = stories.values.filter(\.isComplete)
        let short = complete.filter { $0.spans.count + $0.events.count <= Self.readableLength }
        return (short.isEmpty ? complete : short).max {
            ($0.retries, $0.isRejection ? 1 : 0, $0.order) < ($1.retries, $1.isRejection ? 1 : 0, $1.order)
        }
    }
}
