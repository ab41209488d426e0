import ArgumentParser
import Configuration
import EventBus
import EventBusRabbit
import FoundationEssentials
import Logging

/// The options that name the broker.
struct BrokerOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The broker: amqp[s]://user:password@host/vhost.", valueName: "uri"))
    var url: String?

    @Option(
        help: ArgumentHelp(
            "A JSON file with the keys of RabbitConfiguration, at the top or under \"rabbitmq\", and \"groups\".",
            valueName: "file"
        )
    )
    var config: String?

    @Option(help: ArgumentHelp("The exchange of the services' events. (default: events)", valueName: "name"))
    var exchange: String?

    @Option(help: ArgumentHelp("How long to wait for the broker.", valueName: "seconds"))
    var timeout = 10.0

    @Flag(help: "Print what happens to the connections.")
    var verbose = false

    func validate() throws {
        guard timeout > 0, timeout <= 3600 else {
            throw ValidationError("--timeout takes a number of seconds above 0, at most 3600.")
        }
    }

    /// The logger of the transport.
    var logger: Logger {
        verbose
            ? Logger(label: "eventbus") { StreamLogHandler.standardError(label: $0) }
            : Logger(label: "eventbus", factory: { _ in SwiftLogNoOpLogHandler() })
    }

    /// The parsed configuration file, or `nil` if there is none.
    func file(in environment: [String: String]) throws(CommandFailure) -> ConfigurationFile? {
        guard let path = config ?? environment["EVENTBUS_CONFIG"] else { return nil }
        return try ConfigurationFile(path: path)
    }

    /// Returns the configuration of the transport, from the options, the environment and the file, in this order.
    func configuration(
        in environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> RabbitConfiguration {
        var values = try file(in: environment)?.values ?? [:]
        if let url = url ?? environment["EVENTBUS_URL"] {
            values["uri"] = ConfigValue(.string(url), isSecret: true)
        }
        guard values["uri"] != nil else {
            throw CommandFailure(
                "no broker is named; give --url, set EVENTBUS_URL, or put \"uri\" into a file for --config",
                status: ExitCode(64)
            )
        }
        if let password = environment["EVENTBUS_PASSWORD"] {
            values["password"] = ConfigValue(.string(password), isSecret: true)
        }
        if let exchange { values["exchange"] = ConfigValue(.string(exchange), isSecret: false) }
        let keyed = values.map { (AbsoluteConfigKey($0.key.split(separator: ".").map(String.init)), $0.value) }
        let provider = InMemoryProvider(values: Dictionary(uniqueKeysWithValues: keyed))
        var configuration = try RabbitConfiguration(config: ConfigReader(provider: provider))
        // The tool declares nothing, because that is the services' decision.
        configuration.declaration = .passive
        configuration.clientName = "eventbus-tool"
        configuration.connectTimeout = .seconds(timeout)
        configuration.commandTimeout = .seconds(timeout)
        return configuration
    }
}
