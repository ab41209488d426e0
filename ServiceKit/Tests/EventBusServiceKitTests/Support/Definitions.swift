import Configuration
import EventBus
import EventBusRabbit

@testable import EventBusServiceKit

extension ServiceDefinition {
    /// Returns a service on RabbitMQ without functions.
    static func plain(
        settings: [Setting] = [],
        needsBus: Bool = false,
        assemble: @escaping @Sendable (ServiceEnvironment, EventBus) async throws -> ServiceAssembly = { _, bus in
            ServiceAssembly(bus: bus)
        }
    ) -> ServiceDefinition {
        ServiceDefinition(
            name: "orders",
            executable: "order-service",
            summary: "Takes orders.",
            settings: Setting.rabbitMQ(clientName: "order-service") + settings
        ) { environment in
            let rabbit = try environment.configuration(under: "rabbitmq") { try RabbitConfiguration(config: $0) }
            let bus = try EventBus(
                transport: .rabbit(rabbit, logger: environment.logger),
                configuration: environment.busConfiguration,
                logger: environment.logger
            )
            var assembly = try await assemble(environment, bus)
            assembly.needsBus = needsBus
            return assembly
        }
    }
}
