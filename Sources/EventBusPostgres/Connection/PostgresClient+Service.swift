public import ServiceLifecycle

extension PostgresClient: Service {
    /// Keeps the connection open until the task is cancelled or shut down gracefully, and then closes it.
    ///
    /// Running is optional: a client connects when it is first used. List it before the services that use it, because a
    /// `ServiceGroup` shuts down the last service first:
    ///
    /// ```swift
    /// let services = ServiceGroup(services: [postgres, bus, relay], gracefulShutdownSignals: [.sigterm], logger: logger)
    /// ```
    public func run() async throws {
        // Throws if the task is cancelled, which ends the client as well.
        try? await gracefulShutdown()
        await close()
    }
}
