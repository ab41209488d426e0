import FoundationEssentials

/// The state of a broker according to its management API.
struct ManagementReport: Sendable {
    /// A queue, with its policies.
    struct Queue: Decodable, Sendable {
        var name: String
        var policy: String?
        var operatorPolicy: String?
        var exclusive: Bool?
        var arguments: [String: JSONValue]?

        private enum CodingKeys: String, CodingKey {
            case name, policy, exclusive, arguments
            case operatorPolicy = "operator_policy"
        }

        /// The group of the subscription, or `nil` if it is no queue of a subscription. A broadcast's ends with its
        /// connection.
        var group: String? {
            guard exclusive != true, case .string("eventbus.dead.v1")? = arguments?["x-dead-letter-exchange"],
                case .string(let group)? = arguments?["x-dead-letter-routing-key"]
            else { return nil }
            return group
        }
    }

    /// An exchange, with its policy.
    struct Exchange: Decodable, Sendable {
        var name: String
        var policy: String?
        var arguments: [String: JSONValue]?
    }

    /// A policy or an operator policy.
    struct Policy: Decodable, Sendable {
        var name: String
        var pattern: String
        var definition: [String: JSONValue]
    }

    /// A feature flag.
    struct FeatureFlag: Decodable, Sendable {
        var name: String
        var state: String
        var stability: String?
    }

    /// The permissions of a user on the virtual host, as regular expressions.
    struct Permissions: Decodable, Sendable {
        var user: String
        var configure: String
        var write: String
        var read: String
    }

    /// A node of the cluster.
    struct Node: Decodable, Sendable {
        var name: String
        var running: Bool?
        var memoryAlarm: Bool?
        var diskAlarm: Bool?
        var partitions: [String]?

        private enum CodingKeys: String, CodingKey {
            case name, running, partitions
            case memoryAlarm = "mem_alarm"
            case diskAlarm = "disk_free_alarm"
        }
    }

    var queues: [Queue] = []
    var exchanges: [Exchange] = []
    var policies: [Policy] = []
    var operatorPolicies: [Policy] = []
    var featureFlags: [FeatureFlag] = []
    var permissions: [Permissions] = []
    var nodes: [Node] = []
    /// The seconds by which the clock of the broker is ahead of this machine's, or `nil` if it is unknown.
    var clockAhead: Double?
    /// The things that the login may not ask for, with the reason.
    var refusals: [String] = []
    /// The things that could not be found out for another reason.
    var failures: [String] = []

    init() {}

    /// Asks a broker.
    ///
    /// - Throws: ``CommandFailure`` if it cannot be reached or refuses the login.
    init(_ client: ManagementClient, virtualHost: String) throws(CommandFailure) {
        let unreserved = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
        let host = virtualHost.utf8.map { byte in
            unreserved.contains(byte)
                ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }.joined()
        // The first request tells whether the login is accepted at all.
        let before = Self.now
        let overview = try client.get("/overview")
        let after = Self.now
        guard overview.status != 401 else {
            throw CommandFailure(
                "the management API at \(client.place) refused the login; check user and password, and give the user the "
                    + "tag monitoring: rabbitmqctl set_user_tags USER monitoring",
                status: CommandFailure.refused
            )
        }
        guard overview.status == 200 else { throw client.noAPI("the status \(overview.status)") }
        guard case .object? = try? JSONDecoder().decode(JSONValue.self, from: overview.body) else {
            throw client.noAPI("something that is no JSON")
        }
        if let date = overview.date.map({ Double($0) }) {
            // The header has whole seconds, and the request took some time.
            clockAhead = date > after ? date - after : min(0, date + 1 - before)
        }
        let columns = "name,policy,operator_policy,exclusive,arguments"
        queues = try get("/queues/\(host)?columns=\(columns)", "queues", "monitoring", client) ?? []
        exchanges =
            try get("/exchanges/\(host)?columns=name,policy,arguments", "exchanges", "monitoring", client) ?? []
        policies = try get("/policies/\(host)", "policies", "policymaker", client) ?? []
        operatorPolicies = try get("/operator-policies/\(host)", "operator policies", "policymaker", client) ?? []
        featureFlags = try get("/feature-flags", "feature flags", "administrator", client) ?? []
        permissions = try get("/vhosts/\(host)/permissions", "permissions", "administrator", client) ?? []
        nodes = try get("/nodes", "nodes", "monitoring", client) ?? []
    }

    private mutating func get<Value: Decodable>(
        _ path: String,
        _ name: String,
        _ tag: String,
        _ client: ManagementClient
    ) throws(CommandFailure) -> [Value]? {
        let response = try client.get(path)
        switch response.status {
        case 200:
            if let values = try? JSONDecoder().decode([Value].self, from: response.body) { return values }
            failures.append("\(name): the answer is not of a known form")
        case 401, 403: refusals.append("\(name): the user needs the tag \(tag)")
        default: failures.append("\(name): the management API answered with status \(response.status)")
        }
        return nil
    }

    private static var now: Double { Date().timeIntervalSince1970 }
}
