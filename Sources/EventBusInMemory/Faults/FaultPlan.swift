/// The failures of a real broker that the in-memory broker injects, with their probabilities.
///
/// Whether a fault strikes depends on the seed, the kind of fault, the queue, the event's topic and payload, and how
/// often the same question was asked before. It does not depend on the scheduling of tasks, so the same seed gives the
/// same events the same faults. Every kind is limited for each event, so that a run always ends and injected faults
/// alone never use up the default number of attempts.
///
/// ```swift
/// let broker = InMemoryBroker(clock: ManualClock(), faults: FaultPlan(seed: 42))
/// ```
public struct FaultPlan: Hashable, Sendable {
    /// A kind of failure.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// The connection drops instead of making a delivery. The unsettled deliveries of its transport are
        /// redelivered, and settling them on the old connection fails. At most twice for each event and queue.
        case connectionLoss
        /// The broker accepts an event but its confirm is lost, so the client sends the event again and the queues
        /// contain it twice. At most once for each event.
        case lostConfirm
        /// A queue receives a second copy of an event. At most once for each event and queue.
        case duplicateDelivery
        /// An event overtakes up to three events before it. It never overtakes one with the same partition key in a
        /// queue that keeps the order of keys.
        case reordering
        /// An event arrives in a queue up to 50 ms late by the broker's clock. It does not happen in a queue that keeps
        /// the order of keys.
        case slowDelivery
        /// The handler fails before it has done its work, after its work but before an inbox has recorded it, or after
        /// the record. At most twice for each event and queue.
        case handlerCrash
        /// The broker refuses a publish, which throws `.rejected`. The event is not kept. At most once for each event.
        case refusedPublish
        /// A publish is not sent before its deadline, and throws `.timedOut` immediately. The event is not kept. At
        /// most once for each event.
        case timedOutPublish
        /// The connection is lost while a publish is in flight, which throws `.indeterminate`. The event is not kept.
        /// At most once for each event.
        case lostPublish
        /// The connection is lost before a publish is confirmed, which throws `.indeterminate`. The event is kept. At
        /// most once for each event.
        case unconfirmedPublish
    }

    /// The seed from which the faults of every event are derived.
    public var seed: UInt64
    /// The probability of a lost connection, from 0 to 1, for each delivery. Defaults to 0.02.
    public var connectionLoss: Double
    /// The probability of a lost confirm, for each publish. Defaults to 0.05.
    public var lostConfirm: Double
    /// The probability of a second copy, for each event and queue. Defaults to 0.05.
    public var duplicateDelivery: Double
    /// The probability that an event overtakes others, for each event and queue. Defaults to 0.1.
    public var reordering: Double
    /// The probability of a late arrival, for each event and queue. Defaults to 0.05.
    public var slowDelivery: Double
    /// The probability of a failing handler, for each delivery. Defaults to 0.05.
    public var handlerCrash: Double
    /// The probability that the broker refuses a publish. Defaults to 0.
    public var refusedPublish: Double
    /// The probability that a publish times out unsent. Defaults to 0.
    public var timedOutPublish: Double
    /// The probability that a publish is lost and its outcome is unknown. Defaults to 0.
    public var lostPublish: Double
    /// The probability that a publish is kept and its outcome is unknown. Defaults to 0.
    public var unconfirmedPublish: Double

    /// Creates a plan with these probabilities, from 0 to 1. The defaults make every kind of delivery fault happen
    /// within a few hundred events.
    ///
    /// The faults of publishing default to 0, because they make `publish` throw. Each of them strikes an event only
    /// once, so code under test that publishes again with the same ``/EventBus/PublishOptions/id`` eventually succeeds:
    ///
    /// ```swift
    /// FaultPlan(seed: 42, refusedPublish: 0.05, timedOutPublish: 0.05, lostPublish: 0.05, unconfirmedPublish: 0.05)
    /// ```
    public init(
        seed: UInt64,
        connectionLoss: Double = 0.02,
        lostConfirm: Double = 0.05,
        duplicateDelivery: Double = 0.05,
        reordering: Double = 0.1,
        slowDelivery: Double = 0.05,
        handlerCrash: Double = 0.05,
        refusedPublish: Double = 0,
        timedOutPublish: Double = 0,
        lostPublish: Double = 0,
        unconfirmedPublish: Double = 0
    ) {
        self.seed = seed
        self.connectionLoss = connectionLoss
        self.lostConfirm = lostConfirm
        self.duplicateDelivery = duplicateDelivery
        self.reordering = reordering
        self.slowDelivery = slowDelivery
        self.handlerCrash = handlerCrash
        self.refusedPublish = refusedPublish
        self.timedOutPublish = timedOutPublish
        self.lostPublish = lostPublish
        self.unconfirmedPublish = unconfirmedPublish
    }

    /// Creates a plan with a single kind of fault of this probability.
    public static func only(_ kind: Kind, rate: Double, seed: UInt64) -> FaultPlan {
        FaultPlan(
            seed: seed,
            connectionLoss: kind == .connectionLoss ? rate : 0,
            lostConfirm: kind == .lostConfirm ? rate : 0,
            duplicateDelivery: kind == .duplicateDelivery ? rate : 0,
            reordering: kind == .reordering ? rate : 0,
            slowDelivery: kind == .slowDelivery ? rate : 0,
            handlerCrash: kind == .handlerCrash ? rate : 0,
            refusedPublish: kind == .refusedPublish ? rate : 0,
            timedOutPublish: kind == .timedOutPublish ? rate : 0,
            lostPublish: kind == .lostPublish ? rate : 0,
            unconfirmedPublish: kind == .unconfirmedPublish ? rate : 0
        )
    }

    /// Returns the probability of a fault of `kind`.
    public func rate(of kind: Kind) -> Double {
        switch kind {
        case .connectionLoss: connectionLoss
        case .lostConfirm: lostConfirm
        case .duplicateDelivery: duplicateDelivery
        case .reordering: reordering
        case .slowDelivery: slowDelivery
        case .handlerCrash: handlerCrash
        case .refusedPublish: refusedPublish
        case .timedOutPublish: timedOutPublish
        case .lostPublish: lostPublish
        case .unconfirmedPublish: unconfirmedPublish
        }
    }
}

extension FaultPlan: CustomStringConvertible {
    /// The seed and the probabilities.
    public var description: String {
        let rates = Kind.allCases.map { "\($0.rawValue): \(rate(of: $0))" }.joined(separator: ", ")
        return "FaultPlan(seed: \(seed), \(rates))"
    }
}
