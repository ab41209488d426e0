import ConnectionThread

extension RabbitConnection {
    /// Logs in at a host and starts a connection.
    ///
    /// - Parameters:
    ///   - role: The connection's purpose, which is part of its name at the broker.
    ///   - number: The number of the connection among those of the same role. Defaults to 0.
    ///   - onEvent: A closure that is called on the thread with events that concern the whole connection. Defaults to one
    ///     that ignores them.
    static func open(
        _ configuration: RabbitConfiguration,
        at host: RabbitConfiguration.Host,
        role: String,
        number: UInt64 = 0,
        thread: ConnectionThread,
        watch: SendTimeoutMonitor,
        onEvent: @escaping @Sendable (ConnectionEvent) -> Void = { _ in }
    ) async throws(AMQPFailure) -> RabbitConnection {
        let connection = try RabbitConnection(
            handle: try await LoginThread.logIn(configuration, host, role: role),
            number: number,
            thread: thread,
            watch: watch,
            isTLS: configuration.tls != nil,
            maximumBodySize: configuration.maximumBodySize,
            callTimeout: configuration.commandTimeout,
            onEvent: onEvent
        )
        await connection.start()
        return connection
    }
}
