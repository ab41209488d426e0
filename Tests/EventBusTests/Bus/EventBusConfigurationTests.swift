import Configuration
import EventBus
import Testing

@Suite("Configuration", .timeLimit(.minutes(1)))
struct EventBusConfigurationTests {
    @Test("Values come from a reader, and missing ones keep their defaults")
    func reading() throws {
        let provider = InMemoryProvider(values: [
            "bus.source": "orders", "bus.publishTimeout": 2.5, "bus.shutdownTimeout": 0, "bus.cancellationGrace": 7,
        ])
        let configuration = try EventBusConfiguration(config: ConfigReader(provider: provider).scoped(to: "bus"))
        #expect(configuration.source == "orders")
        #expect(configuration.publishTimeout == .milliseconds(2500))
        #expect(configuration.shutdownTimeout == .zero)
        #expect(configuration.cancellationGrace == .seconds(7))
        let text = InMemoryProvider(values: ["publishTimeout": "3"])
        #expect(try EventBusConfiguration(config: ConfigReader(provider: text)).publishTimeout == .seconds(3))
    }

    @Test("An invalid value is refused with its key", arguments: ["0", "-1", "nan", "soon", "1e99"])
    func nonsense(_ value: String) {
        let provider = InMemoryProvider(values: ["publishTimeout": .init(.string(value), isSecret: false)])
        let error = #expect(throws: EventBusError.self) {
            try EventBusConfiguration(config: ConfigReader(provider: provider))
        }
        #expect(error?.code == .invalidConfiguration)
        #expect(error?.message.contains("publishTimeout") == true)
    }
}
