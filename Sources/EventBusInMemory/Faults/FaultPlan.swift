/// Which failures of a real broker the in-memory one is to have, and how often.
///
/// Whether a fault strikes is a function of the seed, the fault's kind, the queue, the event's topic and payload, and
/// how often this very question came up before. It does not depend on how tasks are scheduled: the same seed gives the
/// same events the same fate. Every kind is bounded for each event, so that a run always ends and injected faults alone
/// never use up the default number of attempts.
///
/// ```swift
/// let broker = InMemoryBroker(clock: ManualClock(), faults: FaultPlan(seed: 42))
/// ```
public struct FaultPlan: Hashable, Sendable {
    /// A kind of failure.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// The connection drops that was about to bring a delivery. What its transport held unsettled is delivered
        /// again, and settling it on the old connection fails. At most twice for each event and queue.
        case connectionLoss
        /// The broker takes an event, the confirm is lost, and the client sends the event again: it is in the queues
        /// twice. At most once for each event.
        case lostConfirm
        /// A queue gets a second copy of an event. At most once for each event and queue.
        case duplicateDelivery
        /// An event overtakes up to three before it, never one with its own partition key where the queue keeps order.
        case reordering
        /// An event shows up in a queue up to 50 ms late by the broker's clock; not where the queue keeps the order of
        /// its key.
        case slowDelivery
        /// The handler fails: before it did its work, after its work but before an inbox has recorded it, or after the
        /// record. At most twice for each event and queue.
        case handlerCrash
        /// The broker refuses a publish: it throws `.rejected`, and nothing is kept. At most once for each event.
        case refusedPublish
        /// A publish is not sent before its deadline: it throws `.timedOut` at once, and nothing is kept. At most once
        /// for each event.
        case timedOutPublish
        /// The connection is lost with a publish on its way: it throws `.indeterminate`, and nothing is kept. At most once
        /// for each event.
        case lostPublish
        /// The connection is lost before a publish is confirmed: it throws `.indeterminate`, and the event is kept. At
        /// most once for each event.
        case unconfirmedPublish
    }

    /// What the fate of every event is derived from.
    public var seed: UInt64
    /// How probable a lost connection is, for each delivery.
    public var connectionLoss: Double
    /// How probable a lost confirm is, for each publish.
    public var lostConfirm: Double
    /// How probable a second copy is, for each event and queue.
    public var duplicateDelivery: Double
    /// How probable it is that an event overtakes others, for each event and queue.
    public var reordering: Double
    /// How probable a late arrival is, for each event and queue.
    public var slowDelivery: Double
    /// How probable a failing handler is, for each delivery.
    public var handlerCrash: Double
    /// How probable it is that the broker refuses a publish.
    public var refusedPublish: Double
    /// How probable it is that a publish times out unsent.
    public var timedOutPublish: Double
    /// How probable it is that a publish is lost and its outcome unknown.
    public var lostPublish: Double
    /// How probable it is that a publish is kept and its outcome unknown.
    public var unconfirmedPublish: Double

    /// A plan with these probabilities, from 0 to 1; those that are left out make every kind of fault happen within a
    /// few hundred events.
    ///
    /// The faults of publishing are left out unless given, because `publish` throws at them. Code under test that
    /// publishes again with the same ``/EventBus/PublishOptions/id`` succeeds in the end, since each strikes an event once:
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

    /// A plan with one kind of fault only, of this probability.
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

    /// How probable a fault of `kind` is.
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
