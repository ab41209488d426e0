import EventBus

/// An instance of a service: a bus that runs until it is told to shut down, or until this object is released.
final class Instance: Sendable {
    let bus: EventBus
    private let running: Task<Void, any Error>

    /// Runs the bus.
    init(_ bus: EventBus) {
        self.bus = bus
        running = Task { try await bus.run() }
    }

    deinit { running.cancel() }

    /// Shuts the bus down, and waits for its end.
    func end() async throws {
        bus.shutdown()
        try await running.value
    }
}

/// The failure of a handler that counts as an attempt. An error about a store or a broker would not.
struct HandlerFailed: Error {}
