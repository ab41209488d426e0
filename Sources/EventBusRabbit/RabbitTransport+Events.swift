extension RabbitTransport {
    /// Returns the changes of connections and consumers, and the publishes that reached no queue, from now on.
    ///
    /// Each call returns a separate stream, which buffers 256 events. An observer that is slower loses the earliest of
    /// them. The stream ends when ``run()`` returns.
    public func events() -> AsyncStream<TransportEvent> {
        core.health.monitor.events()
    }
}
