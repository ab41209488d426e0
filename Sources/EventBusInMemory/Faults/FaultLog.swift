public import EventBus

/// The faults that a broker injected, in the order in which they struck.
public struct FaultLog: Hashable, Sendable {
    /// One injected fault.
    public struct Fault: Hashable, Sendable {
        /// What happened.
        public var kind: FaultPlan.Kind
        /// The queue it happened in; empty for what happened to a publish.
        public var queue: String
        /// The topic of the event it happened to.
        public var topic: Topic
        /// The event it happened to.
        public var eventID: EventID
    }

    /// The plan; its seed gives the same faults again.
    public var plan: FaultPlan
    /// What happened.
    public var faults: [Fault] = []

    /// How many faults there were of `kind`.
    public func count(of kind: FaultPlan.Kind) -> Int {
        faults.count { $0.kind == kind }
    }
}

extension FaultLog: CustomStringConvertible {
    /// The plan with its seed, and one line for each fault.
    public var description: String {
        let lines = faults.map { fault in
            let place = fault.queue.isEmpty ? "" : " in \(fault.queue)"
            return "\n  \(fault.kind.rawValue) of \(fault.topic) \(fault.eventID)\(place)"
        }
        return "\(faults.count) faults by \(plan)" + lines.joined()
    }
}
