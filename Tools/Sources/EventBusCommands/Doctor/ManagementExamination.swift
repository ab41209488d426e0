/// The findings of a doctor, from the management API of a broker.
struct ManagementExamination {
    /// The settings of a policy that lose, delay or refuse events in a queue of the bus.
    private static let harmful: [String: String] = [
        "message-ttl": "events expire, and dead letters are lost",
        "expires": "queues are deleted with their events",
        "max-length": "events are refused or dropped",
        "max-length-bytes": "events are refused or dropped",
        "delivery-limit": "events are given up before their attempts are used",
    ]
    /// The settings that lose, delay or refuse events in a queue that another system declares. The arguments of the bus's
    /// own queues have precedence.
    private static let harmfulIfForeign: [String: String] = [
        "dead-letter-exchange": "what the broker gives up does not reach the dead letters of the group",
        "dead-letter-routing-key": "what the broker gives up may not reach the dead letters of the group",
    ]
    /// The largest tolerated difference of clocks in seconds.
    private static let tolerance = 2.0

    let report: ManagementReport
    let exchange: String
    /// The names of the queues of subscriptions.
    let queues: Set<String>
    /// The groups.
    let groups: Set<String>

    /// The findings.
    var findings: [Finding] {
        policies + featureFlags + permissions + nodes + clock
            + report.failures.map { unanswered($0, level: .warning, remedy: "ask again, and look at the broker's log") }
            + report.refusals.map { unanswered($0, level: .note) }
    }

    private func unanswered(_ reason: String, level: Finding.Level, remedy: String? = nil) -> Finding {
        Finding(level: level, subject: "management", message: "could not be asked for \(reason)", remedy: remedy)
    }

    private func isOurs(_ queue: String) -> Bool {
        queue.hasPrefix("eventbus.") || queues.contains(queue) || groups.contains { queue == "\($0).dead" }
    }

    // MARK: Policies

    private var policies: [Finding] {
        report.policies.compactMap { finding(about: $0, "policy", { $0.policy }, exchanges: report.exchanges) }
            + report.operatorPolicies.compactMap { finding(about: $0, "operator policy", { $0.operatorPolicy }) }
    }

    private func finding(
        about policy: ManagementReport.Policy,
        _ kind: String,
        _ name: (ManagementReport.Queue) -> String?,
        exchanges: [ManagementReport.Exchange] = []
    ) -> Finding? {
        var reached: Set<String> = []
        var harm: Set<String> = []
        var reachesExchange = false
        func note(_ object: String, _ settings: [String]) {
            guard !settings.isEmpty else { return }
            reached.insert(object)
            harm.formUnion(settings)
        }
        for queue in report.queues where name(queue) == policy.name && isOurs(queue.name) {
            let isForeign = isForeign(queue)
            note(queue.name, policy.definition.compactMap { Self.harm(of: $0, $1, to: queue, isForeign: isForeign) })
        }
        for exchange in exchanges where exchange.policy == policy.name && isOurs(exchange) {
            guard policy.definition["alternate-exchange"] != nil else { continue }
            note(exchange.name, ["alternate-exchange: \(Self.misrouting)"])
            reachesExchange = reachesExchange || exchange.name == self.exchange
        }
        guard let first = reached.min() else { return nil }
        let others = reached.count > 1 ? " and \((reached.count - 1).counted("other object"))" : ""
        return Finding(
            level: .problem,
            subject: policy.name,
            message: "the \(kind) reaches \(first)\(others); \(harm.sorted().joined(separator: "; "))",
            remedy:
                "give it a pattern that leaves out the bus: \(excluding(policy.pattern, reachesExchange ? [exchange] : []))"
        )
    }

    private static let misrouting = "publish reports an event as routed although nobody subscribes"

    /// Returns the harm of a setting to a queue, or `nil` if there is none.
    private static func harm(
        of setting: String,
        _ value: JSONValue,
        to queue: ManagementReport.Queue,
        isForeign: Bool
    ) -> String? {
        if let harm = harmful[setting] ?? (isForeign ? harmfulIfForeign[setting] : nil) { return "\(setting): \(harm)" }
        // It has precedence over the argument, and without reject-publish the broker awaits no confirm.
        guard setting == "overflow", value != .string("reject-publish"),
            queue.arguments?["x-dead-letter-strategy"] == .string("at-least-once")
        else { return nil }
        return "overflow: retries, delayed events and dead letters are passed on without a confirm, and may be lost"
    }

    /// Returns a Boolean value indicating whether another system declares the queue of a subscription.
    private func isForeign(_ queue: ManagementReport.Queue) -> Bool {
        queues.contains(queue.name) && queue.arguments?["x-dead-letter-exchange"] == nil
    }

    /// Returns a Boolean value indicating whether an exchange of the bus is at the mercy of policies. An alternate exchange
    /// that is declared with it has precedence.
    private func isOurs(_ exchange: ManagementReport.Exchange) -> Bool {
        (exchange.name == self.exchange || exchange.name.hasPrefix("eventbus."))
            && exchange.arguments?["alternate-exchange"] == nil
    }

    /// Returns a pattern that matches what another one matches, without the objects of the bus.
    private func excluding(_ pattern: String, _ exchanges: Set<String>) -> String {
        func escaped(_ name: String) -> String { name.split(separator: ".").joined(separator: "\\.") }
        let prefixes = groups.union(["eventbus"]).sorted().map(escaped)
        // Names without such a prefix are matched as a whole: that of the exchange, and queues of another system.
        let named = queues.union(exchanges).filter { name in !groups.contains { name.hasPrefix("\($0).") } }.sorted()
        let others = named.map { "|\(escaped($0))$" }.joined()
        let isChoice = pattern.contains("|")
        let rest =
            pattern.hasPrefix("^") && !isChoice
            ? String(pattern.dropFirst()) : ".*" + (isChoice ? "(\(pattern))" : pattern)
        return "^(?!(\(prefixes.joined(separator: "|")))\\.\(others))" + rest
    }

    // MARK: The broker

    private var featureFlags: [Finding] {
        let disabled = report.featureFlags.filter { $0.state == "disabled" && $0.stability != "experimental" }
        return disabled.map(\.name).sorted().map { name in
            let losesDelays = name == "stream_queue"
            return Finding(
                level: losesDelays ? .problem : .warning,
                subject: "broker",
                message: "the feature flag \(name) is disabled"
                    + (losesDelays ? ", so retries and scheduled events may be lost" : ""),
                remedy: "rabbitmqctl enable_feature_flag \(name.shellWord)"
            )
        }
    }

    private var nodes: [Finding] {
        report.nodes.flatMap { node in
            var findings: [Finding] = []
            func add(_ message: String, _ remedy: String) {
                findings.append(Finding(level: .problem, subject: node.name, message: message, remedy: remedy))
            }
            if node.running == false { add("the node does not run", "start it, or remove it from the cluster") }
            if node.memoryAlarm == true {
                add(
                    "memory is short, so the broker blocks all publishers",
                    "empty queues, or give the node more memory"
                )
            }
            if node.diskAlarm == true {
                add("disk space is short, so the broker blocks all publishers", "free space on the disk of the node")
            }
            if let partitions = node.partitions, !partitions.isEmpty {
                add("it cannot reach \(partitions.joined(separator: ", "))", "mend the network, then restart one side")
            }
            return findings
        }
    }

    private var clock: [Finding] {
        guard let ahead = report.clockAhead, abs(ahead) > Self.tolerance else { return [] }
        let seconds = Int(abs(ahead).rounded())
        return [
            Finding(
                level: .warning,
                subject: "clock",
                message:
                    "the clock of the broker is \(seconds) s \(ahead > 0 ? "ahead of" : "behind") that of this machine",
                remedy: "check the time synchronization of the broker, of this machine and of the services "
                    + "(timedatectl): delays and the order of logs depend on it"
            )
        ]
    }

    // MARK: Permissions

    /// Users that may consume a queue of a subscription, but not what its consumers need.
    private var permissions: [Finding] {
        report.permissions.compactMap { user in
            let read = queues.sorted().filter { Self.matches(user.read, $0) }
            guard let queue = read.first else { return nil }
            let needed = [exchange, "eventbus.delay.v1.0"]
            let missing = needed.filter { !Self.matches(user.write, $0) }
            guard !missing.isEmpty else { return nil }
            return Finding(
                level: .warning,
                subject: user.user,
                message: "the user may consume \(queue), but not write to \(missing.joined(separator: " and "))",
                remedy: "extend its write permission, unless it only reads: a service could neither publish nor delay "
                    + "retries (rabbitmqctl set_permissions)"
            )
        }
    }

    private static func matches(_ pattern: String, _ name: String) -> Bool {
        // The broker treats an empty pattern like ^$.
        guard !pattern.isEmpty, let regex = try? Regex(pattern) else { return false }
        return name.contains(regex)
    }
}
