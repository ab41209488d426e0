import EventBus
import EventBusRabbit
import EventBusRedis
import Hummingbird
import Logging
import ServiceStorage

/// The assembled parts of a service, which are created but not running.
struct ServiceParts: Sendable {
    let environment: ServiceEnvironment
    let assembly: ServiceAssembly
    let readiness: Readiness
    let operations: OperationsRoutes
    let router: ServiceRouter

    /// The responder for the routes of the service and those for operators.
    var responder: RouterResponder<ServiceRequestContext> {
        router.make(for: assembly) { operations.add(to: $0) }.buildResponder()
    }

    /// Closes the parts with their own connections.
    func close() async {
        await environment.redis.close()
        await environment.database.close()
    }
}

extension ServiceRun {
    /// Creates the parts.
    ///
    /// - Throws: ``ServiceFailure`` if the service cannot start, or errors of its assembly.
    func makeParts() async throws -> ServiceParts {
        let database = try await openDatabase()
        let environment = ServiceEnvironment(
            config: configuration.reader,
            logger: logger,
            bus: try makeBus(),
            redis: try RedisClient(options.redis, logger: logger),
            database: database
        )
        let assembly: ServiceAssembly
        do {
            assembly = try await definition.assemble(environment)
            try Task.checkCancellation()
        } catch {
            await environment.redis.close()
            await database.close()
            throw error
        }
        let (bus, needsBroker) = (environment.bus, definition.needsBroker)
        let readiness = Readiness(checks: commonChecks(environment) + assembly.checks)
        return ServiceParts(
            environment: environment,
            assembly: assembly,
            readiness: readiness,
            operations: OperationsRoutes(
                readiness: readiness,
                isLive: { needsBroker ? bus.health() : HealthReport(components: []) },
                metrics: { ProcessTelemetry.shared.registry.text() }
            ),
            router: ServiceRouter(
                level: options.logLevel,
                access: options.access,
                hosts: options.allowedHosts,
                bodies: BodyBudget(limit: options.maximumBodyBytes)
            )
        )
    }

    private func openDatabase() async throws -> SQLDatabase {
        guard let connection = options.databaseConnection else {
            return .sqlite(
                try await ServiceDatabase.open(path: options.databasePath, migrations: definition.migrations)
            )
        }
        return try await ServiceDatabase.open(
            postgres: connection,
            migrations: definition.postgresMigrations,
            logger: logger
        )
    }

    private func makeBus() throws -> EventBus {
        var bus = EventBusConfiguration()
        bus.source = definition.name
        // The rest of the time is for parts that stop after the bus.
        bus.shutdownTimeout = options.shutdownTimeout * 0.7
        return try EventBus(transport: .rabbit(options.rabbit, logger: logger), configuration: bus, logger: logger)
    }

    private func commonChecks(_ environment: ServiceEnvironment) -> [HealthCheck] {
        let (bus, database) = (environment.bus, environment.database)
        return [
            HealthCheck(isRequired: true) { [await ServiceDatabase.health(of: database)] },
            HealthCheck(isRequired: definition.needsBroker) { bus.health().components },
        ]
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
