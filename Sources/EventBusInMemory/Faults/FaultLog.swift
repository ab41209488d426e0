public import EventBus

/// The faults that a broker injected, in order.
///
/// ```swift
/// if let log = broker.faultLog { print(log) }
/// ```
public struct FaultLog: Hashable, Sendable {
    /// One injected fault.
    ///
    /// ```swift
    /// let lost = broker.faultLog?.faults.filter { $0.kind == .connectionLoss && $0.queue == "inventory.order-created" }
    /// ```
    public struct Fault: Hashable, Sendable {
        /// The kind of the fault.
        public var kind: FaultPlan.Kind
        /// The queue in which the fault happened. It is empty for a fault of a publish.
        public var queue: String
        /// The topic of the affected event.
        public var topic: Topic
        /// The identity of the affected event.
        public var eventID: EventID
    }

    /// The plan. Its seed reproduces the same faults.
    public var plan: FaultPlan
    /// The injected faults.
    public var faults: [Fault] = []

    /// Returns the number of faults of `kind`.
    public func count(of kind: FaultPlan.Kind) -> Int {
        faults.count { $0.kind == kind }
    }
}

extension FaultLog: CustomStringConvertible {
    /// The plan with its seed, followed by one line for each fault.
    public var description: String {
        let lines = faults.map { fault in
            let place = fault.queue.isEmpty ? "" : " in \(fault.queue)"
            return "\n  \(fault.kind.rawValue) of \(fault.topic) \(fault.eventID)\(place)"
        }
        return "\(faults.count) faults by \(plan)" + lines.joined()
    }
}
