public import ShopData

/// The figures of a run, as `--report` writes them: those of the shop, and with them those of the fleet.
public struct FleetReport: Encodable, Sendable {
    /// The figures that every run of the shop has.
    public var shop: ShopReport
    /// The figures of a fleet.
    public var fleet: Figures

    /// The figures of a fleet.
    public struct Figures: Encodable, Sendable {
        /// What was done to the fleet: `none`, `chaos`, `rolling` or `rabbitmq-stop`.
        public var disturbance: String
        /// What the chaos was drawn from.
        public var seed: UInt64?
        /// Processes that were ended with SIGKILL.
        public var kills: Int
        /// Processes that were stopped in order, but for the end of the run.
        public var stops: Int
        /// Requests to place an order that were answered.
        public var posts: Int
        /// Requests that had to be sent again.
        public var postRetries: Int
        /// Milliseconds that half of the answers took at most.
        public var postP50Milliseconds: Double
        /// Milliseconds that 99 of 100 answers took at most.
        public var postP99Milliseconds: Double
        /// Milliseconds that the slowest answer took.
        public var postMaximumMilliseconds: Double
        /// Requests that were answered while RabbitMQ was stopped.
        public var postsInOutage: Int
        /// Milliseconds that 99 of 100 of these took at most.
        public var postInOutageP99Milliseconds: Double
        /// Milliseconds that the slowest of these took.
        public var postInOutageMaximumMilliseconds: Double
        /// Events that had their effect, by event and group.
        public var handled: Int
        /// Those that had it more than once.
        public var handledTwice: Int
        /// Messages in the mail file.
        public var mails: Int
        /// Orders whose spans tell of all three services.
        public var stories: Int
        /// What is wrong, a line each.
        public var violations: [String]
    }

    /// Writes both as one object.
    public func encode(to encoder: any Encoder) throws {
        try shop.encode(to: encoder)
        try fleet.encode(to: encoder)
    }
}

extension FleetReport.Figures {
    init(
        _ audit: FleetAudit,
        _ figures: Till.Figures,
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
