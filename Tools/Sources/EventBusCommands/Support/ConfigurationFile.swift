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
        if let scoped = members["rabbitmq"] {
            guard case .object(let inner) = scoped else { throw invalid("\"rabbitmq\" is not an object") }
            members = inner
        }
        for (key, value) in members { try add(value, key, invalid) }
    }

    private mutating func add(
        _ value: JSONValue,
        _ key: String,
        _ invalid: (String) -> CommandFailure
    ) throws(CommandFailure) {
        let isSecret = ["uri", "password", "keyPassword"].contains { key.hasSuffix($0) }
        func set(_ content: ConfigContent) { values[key] = ConfigValue(content, isSecret: isSecret) }
        switch value {
        case .string(let text): set(.string(text))
        case .integer(let number): set(.int(Int(number)))
        case .number(let number): set(.double(number))
        case .bool(let flag): set(.bool(flag))
        case .array(let elements):
            var texts: [String] = []
            for element in elements {
                guard case .string(let text) = element else { throw invalid("\"\(key)\" is no array of texts") }
                texts.append(text)
            }
            set(.stringArray(texts))
        case .object(let members):
            for (name, member) in members { try add(member, "\(key).\(name)", invalid) }
        case .null: break
        }
    }
}
