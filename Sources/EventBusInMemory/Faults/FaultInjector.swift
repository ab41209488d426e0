import EventBus

/// The decisions which events meet a fault, and the log of the faults.
///
/// It remembers a few numbers for each event, so a broker with faults is meant for tests, not for long runs.
struct FaultInjector: Sendable {
    private(set) var log: FaultLog
    /// The number of times that each question was asked.
    private var askedCounts: [UInt64: UInt64] = [:]
    /// The number of times that each event was struck by each kind in each queue.
    private var struckCounts: [UInt64: Int] = [:]

    init(plan: FaultPlan) {
        self.log = FaultLog(plan: plan)
    }

    /// Decides whether a fault of `kind` strikes the event now.
    ///
    /// - Returns: Random bits for the details of the fault, or `nil` if none strikes.
    mutating func strikes(_ kind: FaultPlan.Kind, _ envelope: Envelope, in queue: String) -> UInt64? {
        let rate = log.plan.rate(of: kind)
        if rate <= 0 { return nil }
        var question = FaultHash(seed: log.plan.seed)
        question.combine(kind.rawValue.utf8)
        question.combine(queue.utf8)
        question.combine(envelope.topic.rawValue.utf8)
        question.combine(envelope.payload)
        let asked = askedCounts[question.value, default: 0]
        askedCounts[question.value] = asked + 1
        let bits = FaultHash.mix(question.value &+ asked &* 0x9E37_79B9_7F4A_7C15)
        // 53 bits make a number from 0 up to, but not including, 1.
        guard Double(bits >> 11) * 0x1p-53 < rate, mayStrike(kind, envelope, in: queue) else { return nil }
        return FaultHash.mix(bits)
    }

    /// Records that the fault struck.
    mutating func record(_ kind: FaultPlan.Kind, _ envelope: Envelope, in queue: String) {
        struckCounts[victim(kind, envelope, in: queue), default: 0] += 1
        log.faults.append(FaultLog.Fault(kind: kind, queue: queue, topic: envelope.topic, eventID: envelope.id))
    }

    private func mayStrike(_ kind: FaultPlan.Kind, _ envelope: Envelope, in queue: String) -> Bool {
        let limit =
            switch kind {
            case .connectionLoss, .handlerCrash: 2
            case .lostConfirm, .duplicateDelivery, .reordering, .slowDelivery, .refusedPublish, .timedOutPublish,
                .lostPublish, .unconfirmedPublish:
                1
            }
        return struckCounts[victim(kind, envelope, in: queue), default: 0] < limit
    }

    private func victim(_ kind: FaultPlan.Kind, _ envelope: Envelope, in queue: String) -> UInt64 {
        var hash = FaultHash(seed: 0)
        hash.combine(kind.rawValue.utf8)
        hash.combine(queue.utf8)
        hash.combine(envelope.id.rawValue.utf8)
        return hash.value
    }
}
