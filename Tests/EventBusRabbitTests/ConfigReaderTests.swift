import Configuration
import EventBus
import EventBusRabbit
import Testing

@Suite("RabbitMQ configuration from a reader", .timeLimit(.minutes(1)))
struct ConfigReaderTests {
    private func read(_ values: [AbsoluteConfigKey: ConfigValue]) throws -> RabbitConfiguration {
        try RabbitConfiguration(config: ConfigReader(provider: InMemoryProvider(values: values)).scoped(to: "rabbitmq"))
    }

    @Test("Every key has its effect, and the password shows nowhere")
    func keys() throws {
        let configuration = try read([
            "rabbitmq.uri": "amqps://orders:canary@one,two:5673/shop", "rabbitmq.exchange": "order-events",
            "rabbitmq.queueType": "classic", "rabbitmq.declaration": "passive", "rabbitmq.heartbeat": 2.0,
            "rabbitmq.reconnectMaximum": 1.5, "rabbitmq.maximumBodySize": 1000, "rabbitmq.tls.caFile": "/ca.pem",
            "rabbitmq.user": "other",
        ])
        #expect(configuration.hosts == [.init("one", port: 5671), .init("two", port: 5673)])
        #expect(configuration.virtualHost == "shop")
        #expect(configuration.credentials.user == "other" && configuration.credentials.password == "canary")
        #expect(configuration.exchange == "order-events")
        #expect(configuration.queueType == .classic && configuration.declaration == .passive)
        #expect(configuration.heartbeat == .seconds(2) && configuration.reconnect.maximum == .milliseconds(1500))
        #expect(configuration.maximumBodySize == 1000)
        #expect(configuration.tls?.caFile == "/ca.pem")
        #expect(!"\(configuration) \(String(reflecting: configuration))".contains("canary"))
    }

    @Test(
        "What makes no sense is refused by its key",
        arguments: [
            ("rabbitmq.queueType", "stream"), ("rabbitmq.uri", "http://x"), ("rabbitmq.tls.caFile", "/ca.pem"),
            ("rabbitmq.heartbeat", "often"),
        ]
    )
    func nonsense(key: String, value: String) throws {
        var values: [AbsoluteConfigKey: ConfigValue] = ["rabbitmq.uri": "amqp://localhost"]
        values[AbsoluteConfigKey(ConfigKey(key))] = ConfigValue(.string(value), isSecret: false)
        let error = #expect(throws: EventBusError.self) { try read(values) }
        #expect(error?.code == .invalidConfiguration)
        let missing = #expect(throws: EventBusError.self) { try read([:]) }
        #expect(missing?.message.contains("uri is missing") == true)
    }
}
