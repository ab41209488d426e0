public import EventBus

/// A separate namespace on a broker for one check.
public struct TransportNamespace: Sendable {
    let makeTransport: @Sendable () async throws -> any Transport
    let loseConnections: (@Sendable () async throws -> Void)?
    let close: @Sendable () async -> Void

    /// Creates a namespace.
    ///
    /// - Parameters:
    ///   - makeTransport: A closure that returns a further connection to the namespace. Each is run by one bus.
    ///   - loseConnections: A closure that breaks every connection to the namespace, as a network failure would. New
    ///     ones can be made immediately. `nil` if the suite runs without
    ///     ``TransportConformance/Features/connectionLoss``.
    ///   - close: A closure that deletes everything that the check has left behind.
    public init(
        makeTransport: @escaping @Sendable () async throws -> any Transport,
        loseConnections: (@Sendable () async throws -> Void)? = nil,
        close: @escaping @Sendable () async -> Void = {}
    ) {
        self.makeTransport = makeTransport
        self.loseConnections = loseConnections
        self.close = close
    }
}
