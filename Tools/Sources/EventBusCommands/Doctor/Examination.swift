import EventBus
import EventBusRabbit

/// The findings of a doctor, from several inspections of a broker.
///
/// A single inspection cannot tell a queue that is being emptied from one that is stuck, so the counts of all must
/// agree.
struct Examination {
    /// The lowest release of RabbitMQ that the library supports.
    private static let lowestVersion = (3, 10)

    let exchange: String
    /// The inspections in order of time.
    let inspections: [BrokerInspection]
    /// The time from the first inspection to the last one.
    let period: Duration
    /// The queues of the dead letters by their groups.
    let deadLetterQueues: [String: String]

    /// The findings, the most important first.
    var findings: [Finding] {
        guard let last = inspections.last else { return [] }
        var findings = version(last.version)
        findings += last.missingExchanges.map { name in
            Finding(
                level: .problem,
                subject: name,
                message: "the exchange is missing",
                remedy: name == exchange
                    ? "name the exchange of the services with --exchange, or start a service that declares it"
                    : "start a service that may declare, or call RabbitTransport.declareTopology"
            )
        }
        for index in last.sharedQueues.indices { findings += shared(inspections.map { $0.sharedQueues[index] }) }
        let groups = Dictionary(deadLetterQueues.map { ($0.value, $0.key) }) { first, _ in first }
        for index in last.queues.indices {
            let states = inspections.map { $0.queues[index] }
            if let group = groups[states[0].name] {
                findings += deadLetters(states, of: group)
            } else {
                findings += subscription(states)
            }
        }
        return Finding.sorted(findings)
    }

    private func version(_ text: String) -> [Finding] {
        let parts = text.split(separator: ".").prefix(2).compactMap { Int($0) }
        guard parts.count == 2 else {
            return [Finding(level: .note, subject: "broker", message: "it does not tell its release", remedy: nil)]
        }
        let isOld = (parts[0], parts[1]) < Self.lowestVersion
        return [
            Finding(
                level: isOld ? .problem : .note,
                subject: "broker",
                message: "RabbitMQ \(text)",
                remedy: isOld ? "upgrade to 3.10 or later; older ones lose delayed events" : nil
            )
        ]
    }

    /// Returns the findings about a queue that cannot be used, or `nil` if it can.
    private func unusable(_ states: [BrokerInspection.Queue], ifMissing remedy: String) -> [Finding]? {
        guard let last = states.last, last.events == nil else { return nil }
        if last.isMissing {
            return [Finding(level: .problem, subject: last.name, message: "the queue is missing", remedy: remedy)]
        }
        return [
            Finding(
                level: .problem,
                subject: last.name,
                message: "the queue cannot be used: \(last.problem ?? "no reason is given")",
                remedy: "check the nodes of the cluster: rabbitmq-queues quorum_status \(last.name.shellWord)"
            )
        ]
    }

    private func shared(_ states: [BrokerInspection.Queue]) -> [Finding] {
        let remedy = "start a service that may declare, or call RabbitTransport.declareTopology"
        if let findings = unusable(states, ifMissing: remedy) { return findings }
        guard let last = states.last, let count = last.events else { return [] }
        guard let level = last.name.split(separator: ".").last.flatMap({ Int($0) }) else {
            guard count > 0 else { return [] }
            return [
                Finding(
                    level: .warning,
                    subject: last.name,
                    message: "\(count) delayed events matched no queue when they were due",
                    remedy: "eventbus dead list --unroutable, then replay or discard them"
                )
            ]
        }
        // Events that a level still has after its own time to live, although none arrived, are held.
        let lifetime = Duration.milliseconds(100) * (1 << level)
        guard count > 0, period > lifetime + .seconds(1), isStill(states) else { return [] }
        return [
            Finding(
                level: .warning,
                subject: last.name,
                message: "\(count) events waited longer than the \(lifetime) of the level, or as many arrived as left",
                remedy: "a queue behind the levels may accept nothing: look for full queues, and for the feature flag "
                    + "stream_queue (rabbitmqctl list_feature_flags)"
            )
        ]
    }

    private func deadLetters(_ states: [BrokerInspection.Queue], of group: String) -> [Finding] {
        if let findings = unusable(
            states,
            ifMissing: "check the name of the group; one of its services declares the queue"
        ) {
            return findings
        }
        guard let first = states.first?.events, let last = states.last, let count = last.events, count > 0 else {
            return []
        }
        let isGrowing = count > first
        return [
            Finding(
                level: isGrowing ? .problem : .warning,
                subject: last.name,
                message: "\(count) dead letters" + (isGrowing ? ", \(count - first) more than \(period) ago" : ""),
                remedy: "eventbus dead groups --group \(group.shellWord)"
            )
        ]
    }

    private func subscription(_ states: [BrokerInspection.Queue]) -> [Finding] {
        if let findings = unusable(states, ifMissing: "start the service of the subscription, which declares it") {
            return findings
        }
        guard let last = states.last, let count = last.events, let consumers = last.consumers else { return [] }
        if states.allSatisfy({ $0.consumers == 0 }) {
            return [
                Finding(
                    level: .problem,
                    subject: last.name,
                    message: "nobody consumes the queue, and \(count) events wait",
                    remedy:
                        "start the service, or use eventbus topology retire if the subscription no longer exists"
                )
            ]
        }
        guard count > 0, isStill(states) else {
            let message = "\(consumers) consumers, \(count) events wait"
            return [Finding(level: .note, subject: last.name, message: message, remedy: nil)]
        }
        return [
            Finding(
                level: .warning,
                subject: last.name,
                message:
                    "\(count) events wait and did not get fewer in \(period), although there are \(consumers) consumers",
                remedy:
                    "look for handlers that hang, a paused subscription (an unreachable inbox), or too few instances: "
                    + "the health report of the service names them"
            )
        ]
    }

    /// Returns a Boolean value indicating whether a queue has never had fewer events than before.
    private func isStill(_ states: [BrokerInspection.Queue]) -> Bool {
        let counts = states.map { $0.events ?? 0 }
        return zip(counts, counts.dropFirst()).allSatisfy { $0 <= $1 } && counts.allSatisfy { $0 > 0 }
    }
}
