public import ShopData

/// The figures of a run in the format of `--report`: those of the shop and those of the fleet.
public struct FleetReport: Encodable, Sendable {
    /// The figures that every run of the shop has.
    public var shop: ShopReport
    /// The figures of a fleet.
    public var fleet: Figures

    /// The figures of a fleet.
    public struct Figures: Encodable, Sendable {
        /// The disturbance of the run: `none`, `chaos`, `rolling` or `rabbitmq-stop`.
        public var disturbance: String
        /// The seed of the chaos.
        public var seed: UInt64?
        /// The number of processes that were ended with SIGKILL.
        public var kills: Int
        /// The number of processes that were stopped gracefully, except at the end of the run.
        public var stops: Int
        /// The number of requests to place an order that were answered.
        public var posts: Int
        /// The number of requests that were sent again.
        public var postRetries: Int
        /// The median response time in milliseconds.
        public var postP50Milliseconds: Double
        /// The 99th percentile of the response time in milliseconds.
        public var postP99Milliseconds: Double
        /// The longest response time in milliseconds.
        public var postMaximumMilliseconds: Double
        /// The number of requests that were answered while RabbitMQ was stopped.
        public var postsInOutage: Int
        /// The 99th percentile of their response time in milliseconds.
        public var postInOutageP99Milliseconds: Double
        /// The longest of their response times in milliseconds.
        public var postInOutageMaximumMilliseconds: Double
        /// The number of events that had their effect, by event and group.
        public var handled: Int
        /// The number of events that had their effect more than once.
        public var handledTwice: Int
        /// The number of messages in the mail file.
        public var mails: Int
        /// The number of orders with spans of all three services.
        public var stories: Int
        /// The violations, one on each line.
        public var violations: [String]
    }

    /// Encodes both sets of figures as one object.
    public func encode(to encoder: any Encoder) throws {
        try shop.encode(to: encoder)
        try fleet.encode(to: encoder)
    }
}

extension FleetReport.Figures {
    init(
        _ audit: FleetAudit,
        _ figures: LoadGenerator.Figures,
        disturbance: Disturbance,
        events: [FleetEvent],
        stories: StoryBook
    ) {
        switch disturbance {
        case .none: self.disturbance = "none"
        case .chaos(let seed, _):
            self.disturbance = "chaos"
            self.seed = seed
        case .rolling: self.disturbance = "rolling"
        case .rabbitMQStop: self.disturbance = "rabbitmq-stop"
        }
        kills = events.count { $0.kind == .killed }
        stops = events.count { $0.kind == .stopped }
        posts = figures.latencies.count
        postRetries = figures.retries
        postP50Milliseconds = figures.latencies.quantile(0.5)
        postP99Milliseconds = figures.latencies.quantile(0.99)
        postMaximumMilliseconds = figures.latencies.maximum
        postsInOutage = figures.latenciesInOutage.count
        postInOutageP99Milliseconds = figures.latenciesInOutage.quantile(0.99)
        postInOutageMaximumMilliseconds = figures.latenciesInOutage.maximum
        handled = audit.handlings.count
        handledTwice = audit.handlings.twice.count
        mails = audit.mails
        self.stories = stories.completeCount
        violations = audit.violations
    }
}
