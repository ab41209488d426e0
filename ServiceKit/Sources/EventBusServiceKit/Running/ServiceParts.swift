import EventBus
import Hummingbird
import Logging

/// The assembled parts of a service, which are created but not running.
struct ServiceParts: Sendable {
    let assembly: ServiceAssembly
    let readiness: Readiness
    let operations: OperationsRoutes
    let router: ServiceRouter

    /// The responder for the routes of the service and those for operators.
    var responder: RouterResponder<ServiceRequestContext> {
        router.make(assembly.routes) { operations.add(to: $0) }.buildResponder()
    }
}

extension ServiceRun {
    /// Creates the parts.
    ///
    /// - Throws: Errors of the assembly.
    func makeParts() async throws -> ServiceParts {
        let assembly = try await definition.assemble(
            ServiceEnvironment(config: configuration.reader, logger: logger, busConfiguration: busConfiguration)
        )
        if Task.isCancelled {
            await assembly.close()
            throw CancellationError()
        }
        let (bus, needsBus) = (assembly.bus, assembly.needsBus)
        let busCheck = HealthCheck(isRequired: needsBus) { bus.health().components }
        let readiness = Readiness(checks: [busCheck] + assembly.checks)
        return ServiceParts(
            assembly: assembly,
            readiness: readiness,
            operations: OperationsRoutes(
                readiness: readiness,
                metrics: ProcessTelemetry.shared.registry,
                health: { needsBus ? bus.health() : HealthReport(components: []) }
            ),
            router: ServiceRouter(
                level: options.logLevel,
                access: options.access,
                publicPaths: assembly.publicPaths,
                hosts: options.allowedHosts,
                bodies: BodyBudget(limit: options.maximumBodyBytes)
            )
        )
    }

    private var busConfiguration: EventBusConfiguration {
        var bus = EventBusConfiguration()
        bus.source = definition.name
        // The rest of the time is for parts that stop after the bus.
        bus.shutdownTimeout = options.shutdownTimeout * 0.7
        return bus
    }
}

extension Logger {
    /// A logger for parts whose messages at `info` would only repeat those of the service.
    var ofLibrary: Logger {
        var logger = self
        if logger.logLevel == .info { logger.logLevel = .notice }
        return logger
    }
}
