import Glibc
import Hummingbird
import Logging
import ServiceLifecycle

/// One run of a service, from its configuration to its end.
struct ServiceRun: Sendable {
    let definition: ServiceDefinition
    let configuration: ServiceConfiguration
    let options: ServiceOptions
    let logger: Logger
    let redaction: Redaction
    private let errors: LineWriter

    init(
        definition: ServiceDefinition,
        configuration: ServiceConfiguration,
        options: ServiceOptions,
        output: LineWriter = .standardOutput,
        errors: LineWriter = .standardError
    ) {
        let redaction = Redaction(secrets: configuration.secrets + options.access.secrets)
        self.definition = definition
        self.configuration = configuration
        self.options = options
        self.redaction = redaction
        self.errors = errors
        self.logger = Logger(label: definition.name) { label in
            JSONLogHandler(service: label, level: options.logLevel, writer: output, redaction: redaction)
        }
    }

    /// Runs until a signal has ended the service. Returns the exit code.
    func untilSignal() async -> Int32 {
        let end = ShutdownRequest()
        let deadline = ShutdownWatchdog(executable: definition.executable, timeout: options.shutdownTimeout)
        let watch = SignalWatch { number in
            logger.info("shutting down", metadata: ["signal": "\(number == SIGINT ? "SIGINT" : "SIGTERM")"])
            deadline.begin()
            end.request()
        }
        defer {
            watch.stop()
            deadline.cancel()
        }
        do {
            try await run(until: end)
            logger.info("stopped")
            return 0
        } catch {
            let report = FailureReport(error, executable: definition.executable, redaction: redaction)
            return report.write(to: errors)
        }
    }

    /// Creates all parts, runs them, and stops them when `end` is requested.
    func run(until end: ShutdownRequest) async throws {
        for key in configuration.unknownKeys {
            logger.warning("the configuration file has a key that is not known", metadata: ["key": "\(key)"])
        }
        ProcessTelemetry.shared.bootstrapMetrics(service: definition.name)
        let exporter = try makeExporter()
        if let exporter { ProcessTelemetry.shared.bootstrapTracing(service: definition.name, exporter: exporter) }
        let exporting = Task { await exporter?.run() }
        var failure: (any Error)?
        do {
            try await runParts(until: end)
        } catch {
            failure = error
        }
        // The last work of the other parts is in a span too.
        exporting.cancel()
        await exporting.value
        await exporter?.flush()
        if let failure { throw failure }
    }

    private func makeExporter() throws -> (any SpanExporter)? {
        if let make = definition.spanExporter { return try make(configuration.reader, logger) }
        return try options.traceFile.map {
            try JSONLinesSpanExporter(path: $0, redaction: redaction, logger: logger)
        }
    }

    private func runParts(until end: ShutdownRequest) async throws {
        let making = Task { try await makeParts() }
        // Until there is something to shut down, the end only stops the creation of parts.
        end.onRequest { making.cancel() }
        let parts: ServiceParts
        do {
            parts = try await withTaskCancellationHandler {
                try await making.value
            } onCancel: {
                making.cancel()
            }
        } catch is CancellationError where end.isRequested {
            return
        }
        do {
            try await serve(parts, until: end)
        } catch is CancellationError where end.isRequested {
            // Events whose handlers were cancelled are redelivered.
            logger.warning("the shutdown took longer than shutdown.timeout; what still ran was cancelled")
        } catch {
            await parts.assembly.close()
            throw error
        }
        await parts.assembly.close()
    }

    private func serve(_ parts: ServiceParts, until end: ShutdownRequest) async throws {
        let server = HTTPService(responder: parts.responder, options: options, logger: logger)
        // The server first, so that it is stopped last and reports that the service is draining.
        let services: [any Service] = [server, parts.assembly.bus] + parts.assembly.services + [parts.readiness]
        var group = ServiceGroupConfiguration(
            services: services.map { .init(service: $0, failureTerminationBehavior: .gracefullyShutdownGroup) },
            logger: logger.ofLibrary
        )
        group.maximumGracefulShutdownDuration = options.shutdownTimeout
        let serviceGroup = ServiceGroup(configuration: group)
        end.onRequest { Task { await serviceGroup.triggerGracefulShutdown() } }
        try await serviceGroup.run()
    }
}
