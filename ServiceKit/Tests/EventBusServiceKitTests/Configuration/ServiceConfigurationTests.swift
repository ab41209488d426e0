import Configuration
import EventBus
import EventBusRabbit
import EventBusRedis
import Logging
import Synchronization
import Testing

@testable import EventBusServiceKit

@Suite("Configuration", .timeLimit(.minutes(1)))
struct ServiceConfigurationTests {
    private let directory: TemporaryDirectory
    private let definition = ServiceDefinition.plain(
        settings: Setting.redis(clientName: "order-service") + [
            Setting("mail.file", .string, default: "mail.mbox", "where mail goes"),
            Setting("mail.password", .string, default: nil, isSecret: true, "what opens the mailbox"),
            Setting("mail.dryRun", .bool, default: "false", "whether nothing is sent"),
        ]
    )

    init() throws {
        directory = try TemporaryDirectory()
    }

    private func read(
        _ arguments: [String] = [],
        environment: [String: String] = [:]
    ) async throws -> ServiceConfiguration {
        try await ServiceConfiguration(
            flags: CommandLineFlags(["program", "--http-open-access"] + arguments, settings: definition.allSettings),
            environment: environment,
            settings: definition.allSettings
        )
    }

    @Test("Flags override the environment, the environment overrides the file, and the file the defaults")
    func order() async throws {
        let file = try directory.write(#"{"http": {"port": 3, "host": "::1"}, "mail": {"dryRun": true}}"#, to: "c.json")
        let environment = ["CONFIG_FILE": file, "HTTP_PORT": "2", "MAIL_DRY_RUN": "false"]
        #expect(try await read(["--http-port", "1"], environment: environment).reader.int(forKey: "http.port") == 1)
        let config = try await read(environment: environment).reader
        #expect(config.int(forKey: "http.port") == 2)
        #expect(config.string(forKey: "http.host") == "::1")
        #expect(config.bool(forKey: "mail.dryRun") == false)
        #expect(config.string(forKey: "mail.file") == "mail.mbox")
        #expect(config.string(forKey: "mail.password") == nil)
    }

    @Test("The common keys have their defaults")
    func defaults() async throws {
        let options = try ServiceOptions(try await read().reader)
        #expect(options.host == "127.0.0.1")
        #expect(options.port == 8080)
        #expect(options.logLevel == .info)
        #expect(options.traceFile == nil)
        #expect(options.shutdownTimeout == .seconds(20))
        let environment = ServiceEnvironment(config: try await read().reader, logger: .quiet)
        let rabbit = try environment.configuration(under: "rabbitmq") { try RabbitConfiguration(config: $0) }
        #expect(rabbit.hosts.map(\.name) == ["localhost"])
        #expect(rabbit.virtualHost == "/")
        #expect(rabbit.clientName == "order-service")
        let redis = try environment.configuration(under: "redis") { try RedisConfiguration(config: $0) }
        #expect(redis.clientName == "order-service")
    }

    @Test("A default does not override the URI")
    func uriCounts() async throws {
        let config = try await read(["--rabbitmq-uri", "amqp://u:p4ss@one,two/v?heartbeat=3"]).reader
        let rabbit = try RabbitConfiguration(config: config.scoped(to: "rabbitmq"))
        #expect(rabbit.heartbeat == .seconds(3))
        #expect(rabbit.credentials.user == "u" && rabbit.virtualHost == "v")
        #expect(rabbit.hosts.map(\.name) == ["one", "two"])
    }

    @Test(
        "A value of the wrong type is refused, and where it stands is named",
        arguments: [
            (["--http-port", "many"], [:], #"the flag --http-port is "many", which has to be a whole number"#),
            (
                [], ["SHUTDOWN_TIMEOUT": "soon"],
                #"the environment variable SHUTDOWN_TIMEOUT is "soon", which has to be a number"#
            ),
            (["--mail-dry-run=perhaps"], [:], #"the flag --mail-dry-run is "perhaps", which has to be true or false"#),
        ]
    )
    func wrongTypes(arguments: [String], environment: [String: String], message: String) async {
        await #expect(throws: UsageError(message)) { try await read(arguments, environment: environment) }
    }

    @Test("A value of the wrong type in the file is refused too")
    func wrongTypeInFile() async throws {
        let file = try directory.write(#"{"http": {"port": "many"}}"#, to: "c.json")
        let message = #"http.port in the file \#(file) is "many", which has to be a whole number"#
        await #expect(throws: UsageError(message)) { try await read(["--config-file", file]) }
    }

    @Test(
        "A file that is missing, or not an object of JSON, is refused",
        arguments: [
            (nil, "there is no such file"), ("{", "it is not JSON"), ("[1]", "it is not an object of JSON"),
            ("", "it is not JSON"),
        ]
    )
    func badFiles(content: String?, reason: String) async throws {
        let file = try content.map { try directory.write($0, to: "c.json") } ?? directory.file("c.json")
        let error = await #expect(throws: UsageError.self) { try await read(["--config-file", file]) }
        let message = try #require(error).description
        #expect(message.hasPrefix("the configuration file \(file) cannot be used: \(reason)"), "\(message)")
    }

    @Test("A key in the file that matches no setting is found")
    func unknownKeys() async throws {
        let file = try directory.write(#"{"http": {"prot": 1, "port": 2}, "mial": true}"#, to: "c.json")
        #expect(try await read(["--config-file", file]).unknownKeys == ["http.prot", "mial"])
    }

    @Test(
        "A value that makes no sense is refused with its key",
        arguments: [
            (["--http-port", "65536"], "http.port is 65536; it has to be from 0 to 65535"),
            (["--http-maximum-connections", "0"], "http.maximumConnections is 0; it has to be from 1 to 1000000"),
            (
                ["--http-maximum-body-bytes", "1000"],
                "http.maximumBodyBytes is 1000; it has to be from 1048576, 1 MiB, to 2^40"
            ),
            (["--http-tokens", "a:0123456789abcdef"], "http.tokens and http.openAccess are both set; set one"),
            (["--shutdown-timeout", "0"], "shutdown.timeout is 0.0; it has to be above 0 and at most 86400 seconds"),
            (
                ["--log-level", "loud"],
                #"log.level is "loud"; it has to be one of trace, debug, info, notice, warning, error, critical"#
            ),
            (["--rabbitmq-heartbeat", "-1"], #"rabbitmq: heartbeat is "-1"; give a number of seconds, 0 or more"#),
            (
                ["--rabbitmq-uri", "http://here"],
                "rabbitmq: the URI of the broker is not valid: it begins with neither amqp:// nor amqps://"
            ),
            (
                ["--redis-uri", "http://here"],
                "redis: the Redis URI cannot be used: its scheme is none of redis, rediss, redis+sentinel, rediss+sentinel, "
                    + "redis+cluster, rediss+cluster, redis+unix, unix"
            ),
        ]
    )
    func nonsense(arguments: [String], message: String) async throws {
        let config = try await read(arguments).reader
        #expect(throws: UsageError(message)) {
            _ = try ServiceOptions(config)
            let environment = ServiceEnvironment(config: config, logger: .quiet)
            _ = try environment.configuration(under: "rabbitmq") { try RabbitConfiguration(config: $0) }
            _ = try environment.configuration(under: "redis") { try RedisConfiguration(config: $0) }
        }
    }

    @Test func `without tokens a service does not start, unless everyone is let in explicitly`() async throws {
        func access(_ environment: [String: String]) async throws -> HTTPAccess {
            let configuration = try await ServiceConfiguration(
                flags: CommandLineFlags(["program"], settings: definition.allSettings),
                environment: environment,
                settings: definition.allSettings
            )
            return try ServiceOptions(configuration.reader).access
        }
        let message = "http.tokens is not set; give each client a token, or set http.openAccess to true"
        await #expect(throws: UsageError(message)) { try await access([:]) }
        await #expect(throws: UsageError(message)) { try await access(["HTTP_OPEN_ACCESS": "false"]) }
        #expect(try await access(["HTTP_TOKENS": "till:0123456789abcdef"]).secrets == ["0123456789abcdef"])
        #expect(try await access(["HTTP_OPEN_ACCESS": "true"]).secrets == [])
    }

    @Test("Secrets are known from every source, and never shown when they are refused")
    func secrets() async throws {
        let file = try directory.write(#"{"mail": {"password": "from-file"}}"#, to: "c.json")
        let configuration = try await read(
            ["--config-file", file, "--rabbitmq-uri", "amqp://u:from-flag@h"],
            environment: ["REDIS_PASSWORD": "from-environment"]
        )
        #expect(Set(configuration.secrets) == ["from-file", "amqp://u:from-flag@h", "from-environment"])
        let number = try directory.write(#"{"mail": {"password": 12345}}"#, to: "d.json")
        let message = "mail.password in the file \(number) has to be text"
        await #expect(throws: UsageError(message)) { try await read(["--config-file", number]) }
    }

    @Test("Help has every key with its type, default, flag and environment variable, and marks secrets")
    func help() {
        let help = definition.help
        for setting in definition.allSettings {
            #expect(help.contains("\n  \(setting.key) (\(setting.kind.rawValue)\(setting.isSecret ? ", secret" : ""),"))
            #expect(
                help.contains("\n      \(setting.meaning)\n      \(setting.flag)  \(setting.environmentVariable)\n")
            )
        }
        #expect(help.contains("  http.port (int, default 8080)"))
        #expect(help.contains("  rabbitmq.uri (string, secret, default amqp://guest:***@localhost:5672/%2F)"))
        #expect(help.contains("  mail.password (string, secret, default none)"))
        #expect(help.split(separator: "\n").allSatisfy { $0.count <= 120 })
    }

    @Test func `a later setting replaces an earlier one with the same key`() async throws {
        let definition = ServiceDefinition.plain(
            settings: [Setting("rabbitmq.exchange", .string, default: "shop", "the exchange of the shop")]
        )
        let settings = definition.allSettings.filter { $0.key == "rabbitmq.exchange" }
        #expect(settings.map(\.defaultValue) == ["shop"])
        let configuration = try await ServiceConfiguration(
            flags: CommandLineFlags(["program"], settings: definition.allSettings),
            environment: [:],
            settings: definition.allSettings
        )
        #expect(configuration.reader.string(forKey: "rabbitmq.exchange") == "shop")
    }

    @Test func `a list is separated by commas in a flag, and an array in the file`() async throws {
        let file = try directory.write(#"{"rabbitmq": {"allowedReplyQueues": ["a", "b"]}}"#, to: "c.json")
        for arguments in [["--rabbitmq-allowed-reply-queues", "a,b"], ["--config-file", file]] {
            let config = try await read(arguments).reader
            #expect(config.stringArray(forKey: "rabbitmq.allowedReplyQueues") == ["a", "b"])
        }
    }

    @Test("Every key that the libraries read is part of the help")
    func completeness() throws {
        let keys = Set(definition.allSettings.map(\.key))
        let asked = AskedKeys()
        let config = ConfigReader(provider: InMemoryProvider(values: [:]), accessReporter: asked)
        _ = try RedisConfiguration(config: config.scoped(to: "redis"))
        let uri: [AbsoluteConfigKey: ConfigValue] = ["uri": ConfigValue(.string("amqps://u:p@host"), isSecret: true)]
        let rabbit = ConfigReader(provider: InMemoryProvider(values: uri), accessReporter: asked)
        _ = try RabbitConfiguration(config: rabbit)
        let read = asked.keys.map { $0.hasPrefix("redis.") ? $0 : "rabbitmq.\($0)" }
        // Both are errors, so that their users learn the right key.
        let refused: Set = ["redis.username", "rabbitmq.tls.serverName"]
        #expect(Set(read).subtracting(refused) == keys.filter { $0.hasPrefix("redis.") || $0.hasPrefix("rabbitmq.") })
        #expect(keys.isSuperset(of: ["config.file", "http.host", "http.port", "http.tokens", "log.level"]))
        #expect(keys.isSuperset(of: ["trace.file", "shutdown.timeout", "rabbitmq.uri", "redis.uri"]))
    }
}

/// The keys that a configuration was asked for.
private final class AskedKeys: AccessReporter {
    private let state = Mutex<[String]>([])

    var keys: [String] { state.withLock { $0 } }

    func report(_ event: AccessEvent) {
        state.withLock { $0.append(event.metadata.key.components.joined(separator: ".")) }
    }
}
