import EventBus
import Logging

/// The names, buses and events of one check.
struct ConformanceContext: Sendable {
    let id: String
    let namespace: TransportNamespace

    static func newID() -> String {
        "c" + EventID().rawValue.filter { $0 != "-" }.suffix(14)
    }

    func group(_ name: String = "group") -> String { "\(name)-\(id)" }

    func topic(_ name: String = "probe") throws -> Topic { try Topic(validating: "\(id).\(name)") }

    func pattern(_ name: String) throws -> TopicPattern { try TopicPattern(validating: "\(id).\(name)") }

    func event(_ topic: String = "probe", payload: [UInt8] = [], key: String? = nil) throws -> Envelope {
        Envelope(topic: try self.topic(topic), payload: payload, partitionKey: key)
    }

    func event(_ topic: String = "probe", number: Int, key: String? = nil) throws -> Envelope {
        try event(topic, payload: Array("\(number)".utf8), key: key)
    }

    /// Returns a bus with a separate connection.
    func makeBus(_ configure: (inout EventBusConfiguration) -> Void = { _ in }) async throws -> EventBus {
        var configuration = EventBusConfiguration()
        configuration.shutdownTimeout = .seconds(10)
        configure(&configuration)
        // Silent, because many checks make handlers fail on purpose.
        let logger = Logger(label: "eventbus", factory: { _ in SwiftLogNoOpLogHandler() })
        return EventBus(transport: try await namespace.makeTransport(), configuration: configuration, logger: logger)
    }

    /// Runs `body` while all buses are running and attached.
    func running(_ buses: EventBus..., body: @escaping @Sendable () async throws -> Void) async throws {
        try await Self.run(buses[...], body)
    }

    private static func run(
        _ buses: ArraySlice<EventBus>,
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        guard let first = buses.first else { return try await body() }
        let rest = buses.dropFirst()
        try await first.withRunning { try await run(rest, body) }
    }

    /// Breaks every connection.
    func loseConnections() async throws {
        guard let loseConnections = namespace.loseConnections else {
            throw ConformanceFailure("the namespace has no loseConnections: give it one, or leave .connectionLoss out")
        }
        try await loseConnections()
    }

    /// Runs `body` with a connected transport, without a bus.
    func withTransport(_ body: @escaping @Sendable (any Transport) async throws -> Void) async throws {
        let transport = try await namespace.makeTransport()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await transport.run() }
            group.addTask { try await body(transport) }
            // Either the body ends first, or the transport throws an error.
            try await group.next()
            group.cancelAll()
            while let rest = await group.nextResult() { _ = rest }
        }
    }
}

/// The error that the handlers of a check throw.
struct ExpectedError: Error, CustomStringConvertible {
    var description: String { "expected by the check" }
}

/// The error that the handlers of a check throw if a retry cannot help.
struct NonRetryableTestError: Error, NonRetryable {}
