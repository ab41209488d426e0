import Configuration
import FoundationEssentials
import TerminalText

/// A JSON file with the address of the broker, and the groups and queues of the system.
///
/// ```json
/// { "rabbitmq": { "uri": "amqp://ops@rabbit.internal/shop" }, "groups": ["inventory"],
///   "queues": ["inventory.order-created"] }
/// ```
struct ConfigurationFile {
    /// The values of the transport's configuration by their keys.
    var values: [String: ConfigValue] = [:]
    /// The groups.
    var groups: [String] = []
    /// The queues of subscriptions.
    var queues: [String] = []

    /// Reads a file.
    init(path: String) throws(CommandFailure) {
        func invalid(_ reason: String) -> CommandFailure {
            CommandFailure(
                "the configuration file \(path.printable) cannot be used: \(reason)",
                status: CommandFailure.invalidConfiguration
            )
        }
        guard let data = try? Data(contentsOf: URL(filePath: path)) else {
            throw invalid(FileManager.default.fileExists(atPath: path) ? "it cannot be read" : "there is no such file")
        }
        guard let root = try? JSONDecoder().decode(JSONValue.self, from: data) else { throw invalid("it is not JSON") }
        guard case .object(var members) = root else { throw invalid("it is not a JSON object") }
        func names(_ key: String) throws(CommandFailure) -> [String] {
            guard let value = members.removeValue(forKey: key) else { return [] }
            guard case .array(let elements) = value else { throw invalid("\"\(key)\" is not an array") }
            var names: [String] = []
            for element in elements {
                guard case .string(let name) = element else {
                    throw invalid("\"\(key)\" holds something that is no text")
                }
                names.append(name)
            }
            return names
        }
        groups = try names("groups")
        queues = try names("queues")
        let problems =
            groups.compactMap(BrokerName.problem(ofGroup:)) + queues.compactMap(BrokerName.problem(ofQueue:))
        if let problem = problems.first { throw invalid(problem) }
        if let scoped = members.removeValue(forKey: "rabbitmq") {
            guard case .object(let inner) = scoped else { throw invalid("\"rabbitmq\" is not an object") }
            // A setting that stays beside it would have no effect.
            if let other = members.keys.min() { throw invalid("\"\(other)\" is beside \"rabbitmq\", not in it") }
            members = inner
        }
        for (key, value) in members.sorted(by: { $0.key < $1.key }) { try add(value, key, invalid) }
    }

    private mutating func add(
        _ value: JSONValue,
        _ key: String,
        _ invalid: (String) -> CommandFailure
    ) throws(CommandFailure) {
        if case .object(let members) = value, ConfigurationKey.isSection(key) {
            for (name, member) in members.sorted(by: { $0.key < $1.key }) { try add(member, "\(key).\(name)", invalid) }
            return
        }
        guard let known = ConfigurationKey.all[key] else { throw invalid("there is no key \"\(key)\"") }
        if value == .null { return }
        guard values[key] == nil else { throw invalid("\"\(key)\" is given twice") }
        guard let content = known.content(value) else {
            // Without the value, which may be a password.
            throw invalid("\"\(key)\" is not \(known.kind.rawValue)")
        }
        values[key] = ConfigValue(content, isSecret: known.isSecret)
    }
}
