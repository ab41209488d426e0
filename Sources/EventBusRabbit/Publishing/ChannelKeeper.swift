import EventBus

/// A loop that opens the channels of a publisher again. A channel may fail without its connection.
struct ChannelKeeper: Sendable {
    let logger: BackgroundLogger

    /// Opens a channel whenever it is needed, until the connection has ended.
    func keep(
        _ name: String,
        on connection: RabbitConnection,
        waitUntilWanted: @Sendable () async -> Void,
        open: @Sendable () async throws(AMQPFailure) -> Void
    ) async {
        var failures = 0
        let clock = ContinuousClock()
        var opened = clock.now
        while await connection.isOpen {
            await waitUntilWanted()
            guard await connection.isOpen else { return }
            // A channel that was open for a while resets the count.
            if opened.duration(to: clock.now) > ReconnectStateMachine.stableAfter { failures = 0 }
            await pause(failures)
            failures += 1
            do throws(AMQPFailure) {
                try await open()
            } catch {
                guard await connection.isOpen else { return }
                logger.info("could not open the \(name) channel", metadata: ["reason": "\(error)"])
            }
            opened = clock.now
        }
    }

    /// Opens the second channel of a publisher whenever it is needed, until the connection has ended.
    func keepSecond(of publisher: RabbitPublisher, on connection: RabbitConnection) async {
        await keep("second", on: connection) {
            await publisher.waitUntilProbeNeeded(on: connection)
        } open: { () async throws(AMQPFailure) in
            guard await publisher.isProbeNeeded else { return }
            try await publisher.attachProbe(to: connection)
        }
    }

    private func pause(_ failures: Int) async {
        guard failures > 0 else { return }
        let bound = min(Duration.milliseconds(10) * (1 << min(failures, 8)), .seconds(2))
        try? await Task.sleep(for: bound * Double.random(in: 0.5...1))
    }
}
