/// The findings of a doctor, from the management API of a broker.
struct ManagementExamination {
    /// The settings of a policy that lose, delay or refuse events of the bus.
    private static let harmful: [String: String] = [
        "message-ttl": "events expire, and dead letters are lost",
        "expires": "queues are deleted with their events",
        "max-length": "events are refused or dropped",
        "max-length-bytes": "events are refused or dropped",
        "delivery-limit": "events are given up before their attempts are used",
        "dead-letter-exchange": "dead letters go elsewhere",
        "dead-letter-routing-key": "dead letters go elsewhere",
        "alternate-exchange": "publish reports an event as routed although nobody subscribes",
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
            + report.refusals.map { refusal in
                Finding(level: .note, subject: "management", message: "could not be asked for \(refusal)", remedy: nil)
            }
    }

    private func isOurs(_ queue: String) -> Bool {
        queue.hasPrefix("eventbus.") || queues.contains(queue) || groups.contains { queue == "\($0).dead" }
    }

    // MARK: Policies

    private var policies: [Finding] {
        let ours = report.queues.filter { isOurs($0.name) }
        return findings(about: report.policies, "policy", reaching: { $0.policy }, ours)
            + findings(about: report.operatorPolicies, "operator policy", reaching: { $0.operatorPolicy }, ours)
    }

    private func findings(
        about policies: [ManagementReport.Policy],
        _ kind: String,
        reaching: (ManagementReport.Queue) -> String?,
        _ queues: [ManagementReport.Queue]
    ) -> [Finding] {
        policies.compactMap { policy in
            let reached = queues.filter { reaching($0) == policy.name }.map(\.name).sorted()
            let harm = policy.definition.keys.sorted().compactMap { key in Self.harmful[key].map { "\(key): \($0)" } }
            guard let first = reached.first, !harm.isEmpty else { return nil }
            let others = reached.count > 1 ? " and \((reached.count - 1).counted("other queue"))" : ""
            return Finding(
                level: .problem,
                subject: policy.name,
                message: "the \(kind) reaches \(first)\(others); \(harm.joined(separator: "; "))",
                remedy: "give it a pattern that leaves out the bus: \(excluding(policy.pattern))"
            )
        }
    }

    /// Returns a pattern that matches what another one matches, without the queues of the bus.
    private func excluding(_ pattern: String) -> String {
        func escaped(_ name: String) -> String { name.split(separator: ".").joined(separator: "\\.") }
        let prefixes = groups.union(["eventbus"]).sorted().map(escaped)
        // Queues that another system named are matched as a whole.
        let named = queues.filter { queue in !groups.contains { queue.hasPrefix("\($0).") } }.sorted()
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
                remedy: "rabbitmqctl enable_feature_flag \(name)"
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
