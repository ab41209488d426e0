import Configuration
import CoreMetrics
import EventBus
import EventBusRabbit
import EventBusRedis
import GRDB
import Glibc
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import Tracing

/// One run of a service, from its configuration to its end.
struct ServiceRun: Sendable {
    let definition: ServiceDefinition
    let configuration: ServiceConfiguration
    let options: CommonOptions
    let logger: Logger
    private let redaction: Redaction

    init(definition: ServiceDefinition, configuration: ServiceConfiguration, options: CommonOptions) {
        let redaction = Redaction(secrets: configuration.secrets)
        self.definition = definition
        self.configuration = configuration
        self.options = options
        self.redaction = redaction
        self.logger = Logger(label: definition.name) { label in
            JSONLogHandler(
                service: label,
                level: options.logLevel,
                writer: .standardOutput,
                redaction: redaction
            )
        }
    }

    /// Runs until a signal has ended it; returns the exit code.
    func untilSignal() async -> Int32 {
        let end = EndRequest()
        let watch = SignalWatch { number in
            end.request()
            logger.info("shutting down", metadata: ["signal": "\(number == SIGINT ? "SIGINT" : "SIGTERM")"])
        }
        defer { watch.stop() }
        do {
            try await run(until: end)
            logger.info("stopped")
            return 0
        } catch {
            LineWriter.standardError.write("\(definition.executable): \(redaction.redact(StartFailure.text(error)))")
            return 1
        }
    }

    /// Makes every part, runs them all, and stops them when `end` is requested.
    func run(until end: EndRequest) async throws {
        for key in configuration.unknownKeys {
            logger.warning("the configuration file has a key that is not known", metadata: ["key": "\(key)"])
        }
        let telemetry = ProcessTelemetry.shared
        telemetry.bootstrapMetrics(service: definition.name)
        let exporter = try makeExporter()
        if let exporter { telemetry.bootstrapTracing(service: definition.name, exporter: exporter) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            if let exporter { group.addTask { await exporter.run() } }
            defer { group.cancelAll() }
            do {
                try await runParts(until: end, telemetry)
            } catch {
                await exporter?.flush()
                throw error
            }
            await exporter?.flush()
        }
    }

    private func makeExporter() throws -> (any SpanExporter)? {
        if let make = definition.spanExporter { return try make(configuration.reader, logger) }
        return try options.traceFile.map {
            try JSONLinesSpanExporter(path: $0, redaction: redaction, logger: logger)
        }
    }

    private func runParts(until end: EndRequest, _ telemetry: ProcessTelemetry) async throws {
        let database = try await ServiceDatabase.open(path: options.databasePath, migrations: definition.migrations)
        let redis = try RedisClient(
            RedisConfiguration(config: configuration.reader.scoped(to: "redis")),
            logger: logger
        )
        let environment = ServiceEnvironment(
            config: configuration.reader,
            logger: logger,
            bus: try makeBus(),
            redis: redis,
            database: database
        )
        do {
            let assembly = try await definition.assemble(environment)
            try await serve(assembly, environment, telemetry, until: end)
        } catch {
            await redis.close()
            throw error
        }
        await redis.close()
    }

    private func makeBus() throws -> EventBus {
        var bus = EventBusConfiguration()
        bus.source = definition.name
        // What is left of the time is for what stops after the bus.
        bus.shutdownTimeout = options.shutdownTimeout * 0.7
        let rabbit = try RabbitConfiguration(config: configuration.reader.scoped(to: "rabbitmq"))
        return EventBus(transport: .rabbit(rabbit, logger: logger), configuration: bus, logger: logger)
    }

    private func serve(
        _ assembly: ServiceAssembly,
        _ environment: ServiceEnvironment,
        _ telemetry: ProcessTelemetry,
        until end: EndRequest
    ) async throws {
        let bus = environment.bus
        let needsBroker = definition.needsBroker
        let readiness = Readiness(checks: commonChecks(environment) + assembly.checks)
        let operations = OperationsRoutes(
            readiness: readiness,
            isLive: { needsBroker ? bus.health() : HealthReport(components: []) },
            metrics: { telemetry.registry.text() }
        )
        let router = ServiceRouter(level: options.logLevel).make(for: assembly) { operations.add(to: $0) }
        let server = Application(
            router: router,
            configuration: ApplicationConfiguration(address: .hostname(options.host, port: options.port)),
            onServerRunning: { [logger, options] channel in
                let port = channel.localAddress?.port ?? options.port
                logger.info("listening", metadata: ["host": "\(options.host)", "port": "\(port)"])
            },
            logger: quiet(logger)
        )
        // The server first: it is stopped last, and tells those who ask that the service is draining.
        let services: [any Service] = [server, bus] + assembly.services + [LifeNotice(readiness: readiness)]
        var group = ServiceGroupConfiguration(services: services.map { .init(service: $0) }, logger: quiet(logger))
        group.maximumGracefulShutdownDuration = options.shutdownTimeout
        let serviceGroup = ServiceGroup(configuration: group)
        end.onRequest { Task { await serviceGroup.triggerGracefulShutdown() } }
        try await serviceGroup.run()
    }

    private func commonChecks(_ environment: ServiceEnvironment) -> [HealthCheck] {
        let (bus, database) = (environment.bus, environment.database)
        return [
            HealthCheck(isRequired: true) {
                do {
                    try await ServiceDatabase.isAnswering(database)
                    return [ComponentHealth(name: "database", status: .ready)]
                } catch {
                    return [ComponentHealth(name: "database", status: .notReady, reason: "\(error)")]
                }
            },
            HealthCheck(isRequired: definition.needsBroker) { bus.health().components },
        ]
    }

    /// For libraries that tell of their own life at `info`.
    private func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(.notice, logger.logLevel)
        return logger
    }
}

/// Notes when everything has been started, and when the end begins: it is started last, and stopped first.
private struct LifeNotice: Service {
    let readiness: Readiness

    func run() async throws {
        readiness.begin()
        try await gracefulShutdown()
        readiness.drain()
    }
}
