import EventBusRabbit

/// The topologies of the services of a release, and those of the release before.
struct TopologyRevision: Sendable {
    /// A subscription that the earlier release had.
    struct Retired: Sendable {
        var exchange: String
        var subscription: RabbitTopology.Subscription

        /// A Boolean value indicating whether the queue belongs to another system.
        var isForeign: Bool { !subscription.isDeclared }
    }

    let current: [RabbitTopology]
    let former: [RabbitTopology]

    /// The queues that the services need.
    var queues: Set<String> { Set(current.flatMap(\.subscriptions).map(\.queue)) }

    /// The subscriptions that no service has any more.
    var retired: [Retired] {
        var seen = queues
        return former.flatMap { topology in
            topology.subscriptions.map { Retired(exchange: topology.exchange, subscription: $0) }
        }.filter { seen.insert($0.subscription.queue).inserted }
    }

    /// The queues of both releases and of their dead letters.
    var allQueues: [String] {
        let subscriptions = (current + former).flatMap(\.subscriptions)
        return Set(subscriptions.map(\.queue) + subscriptions.map { "\($0.group).dead" }).sorted()
    }

    /// Returns the steps from a broker's objects to those that the services need.
    ///
    /// - Parameters:
    ///   - differences: The objects that are missing or different.
    ///   - states: The state of ``allQueues``.
    func changes(_ differences: [TopologyDifference], _ states: [BrokerInspection.Queue]) -> [TopologyChange] {
        let states = Dictionary(states.map { ($0.name, $0) }) { first, _ in first }
        var changes: [TopologyChange] = []
        for difference in differences {
            let change = change(difference, states[difference.object])
            // Services share objects.
            if !changes.contains(change) { changes.append(change) }
        }
        changes += bindings
        changes += retired.compactMap { retired in
            states[retired.subscription.queue].flatMap { Self.retirement(of: retired, $0) }
        }
        let groups = Set(current.flatMap(\.subscriptions).map(\.group))
        let formerGroups = Set(former.flatMap(\.subscriptions).map(\.group))
        for group in formerGroups.subtracting(groups).sorted() {
            guard let state = states["\(group).dead"], let count = state.events, count > 0 else { continue }
            changes.append(
                TopologyChange(
                    action: .retire,
                    object: state.name,
                    reason: "no service has the group any more",
                    events: count,
                    consumers: state.consumers,
                    remedy: "eventbus dead groups --group \(group.shellWord), then move or discard them",
                    strands: true
                )
            )
        }
        return changes
    }

    private func change(_ difference: TopologyDifference, _ state: BrokerInspection.Queue?) -> TopologyChange {
        if difference.isMissing {
            return TopologyChange(action: .declare, object: difference.object, reason: "missing")
        }
        let isEmpty = state?.events == 0 && state?.consumers == 0
        return TopologyChange(
            action: .clash,
            object: difference.object,
            reason: difference.reason,
            events: state?.events,
            consumers: state?.consumers,
            remedy: isEmpty
                ? "delete it (rabbitmqctl delete_queue \(difference.object.shellWord)), because arguments cannot be changed; then "
                    + "topology apply"
                : "a service that declares it does not start; give the subscription a new name, deploy it, and move the "
                    + "events with topology retire --move-to",
            strands: true
        )
    }

    /// The bindings that services remove, or leave behind.
    private var bindings: [TopologyChange] {
        var changes: [TopologyChange] = []
        for topology in former {
            for subscription in topology.subscriptions {
                for (exchange, own) in declarations(of: subscription.queue) {
                    if exchange != topology.exchange {
                        changes.append(
                            TopologyChange(
                                action: .staysBound,
                                object: subscription.queue,
                                reason: "it stays bound to the exchange \(topology.exchange) too",
                                remedy: "unbind it there, if nobody publishes to \(topology.exchange) for it any more",
                                strands: true
                            )
                        )
                    }
                    for pattern in subscription.patterns where !own.patterns.contains(pattern) {
                        let isUnbound = own.formerPatterns.contains(pattern)
                        changes.append(
                            TopologyChange(
                                action: isUnbound ? .unbind : .staysBound,
                                object: subscription.queue,
                                reason: isUnbound
                                    ? "\(pattern) is unbound when the service starts"
                                    : "\(pattern) stays bound, and its events are dead-lettered as stale_binding",
                                remedy: isUnbound ? nil : "add \(pattern) to formerPatterns of the subscription",
                                strands: !isUnbound
                            )
                        )
                    }
                }
            }
        }
        return changes
    }

    private func declarations(of queue: String) -> [(exchange: String, subscription: RabbitTopology.Subscription)] {
        current.flatMap { topology in
            topology.subscriptions.filter { $0.queue == queue }.map { (topology.exchange, $0) }
        }
    }

    private static func retirement(of retired: Retired, _ state: BrokerInspection.Queue) -> TopologyChange? {
        guard !state.isMissing else { return nil }
        let reason: String, remedy: String
        switch (state.events, state.consumers) {
        case _ where retired.isForeign:
            reason = "no service consumes it any more"
            remedy = "it belongs to another system; ask its owner to unbind it"
        case (nil, _):
            reason = "no service needs it any more, and it cannot be used: \(state.problem ?? "no reason is given")"
            remedy = "check the nodes of the cluster: rabbitmq-queues quorum_status \(state.name.shellWord)"
        case (_, let consumers?) where consumers > 0:
            reason = "no service needs it any more"
            remedy = "stop the instances of the earlier release, then topology retire"
        case (let events?, _) where events > 0:
            reason = "no service needs it any more"
            remedy = "let an instance of the earlier release handle them, or topology retire --move-to QUEUE"
        default:
            reason = "no service needs it any more"
            remedy = "topology retire"
        }
        return TopologyChange(
            action: .retire,
            object: state.name,
            reason: reason,
            events: state.events,
            consumers: state.consumers,
            remedy: remedy,
            strands: state.events != 0 || state.consumers != 0
        )
    }
}
