import EventBus

/// A conformance suite for implementations of ``/EventBus/Transport``.
///
/// ```swift
/// let suite = TransportConformance { name in
///     let broker = InMemoryBroker()
///     return TransportNamespace(
///         makeTransport: { InMemoryTransport(broker: broker) },
///         loseConnections: { broker.loseConnections() }
///     )
/// }
///
/// @Test(arguments: suite.checks)
/// func conforms(check: ConformanceCheck) async throws {
///     try await check.run()
/// }
/// ```
///
/// The checks are independent of each other and may run concurrently. They wait for conditions, never for a fixed time,
/// and their delays are 100 ms at most.
public struct TransportConformance: Sendable {
    /// The optional features of a transport. Checks of features that a transport lacks are left out.
    public struct Features: OptionSet, Sendable {
        /// The features, one in each bit.
        public let rawValue: Int

        /// Creates features from their bits.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// The methods `request` and `reply`.
        public static let requestReply = Features(rawValue: 1 << 0)
        /// Broadcast subscriptions.
        public static let broadcast = Features(rawValue: 1 << 1)
        /// Publishing with a delay.
        public static let scheduling = Features(rawValue: 1 << 2)
        /// Order by partition key across instances.
        public static let keyOrder = Features(rawValue: 1 << 3)
        /// Reading, replaying and discarding dead letters.
        public static let deadLetterQueue = Features(rawValue: 1 << 4)
        /// Recovery from a lost connection. It requires a namespace with `loseConnections`.
        public static let connectionLoss = Features(rawValue: 1 << 5)
        /// All features.
        public static let all: Features = [
            .requestReply, .broadcast, .scheduling, .keyOrder, .deadLetterQueue, .connectionLoss,
        ]
    }

    let features: Features
    let largestPayload: Int
    let makeNamespace: @Sendable (_ name: String) async throws -> TransportNamespace

    /// Creates a suite for one transport.
    ///
    /// - Parameters:
    ///   - features: The features of the transport.
    ///   - largestPayload: The size in bytes of the largest payload that is tried. Defaults to 1 MiB.
    ///   - makeNamespace: A closure that returns a separate namespace with the given name (letters and digits) for a
    ///     check: a new broker, or a separate exchange. Groups and topics also contain the name.
    public init(
        features: Features = .all,
        largestPayload: Int = 1 << 20,
        makeNamespace: @escaping @Sendable (_ name: String) async throws -> TransportNamespace
    ) {
        self.features = features
        self.largestPayload = largestPayload
        self.makeNamespace = makeNamespace
    }

    /// The checks that apply to the transport's features.
    public var checks: [ConformanceCheck] {
        var checks = publishingChecks + routingChecks + consumingChecks + failureChecks + retryChecks
        checks += lifecycleChecks + limitChecks + pauseChecks + batchChecks + versionChecks
        if features.contains(.requestReply) { checks += requestChecks + payloadRequestChecks }
        if features.contains(.broadcast) { checks += broadcastChecks }
        if features.contains(.scheduling) { checks += schedulingChecks + delayLimitChecks }
        if features.contains(.keyOrder) { checks += keyOrderChecks + keyOrderStopChecks + keyOrderPauseChecks }
        if features.isSuperset(of: [.keyOrder, .connectionLoss]) { checks += revocationChecks }
        if features.contains(.deadLetterQueue) { checks += deadLetterChecks + deadLetterLimitChecks + expiryChecks }
        if features.contains(.deadLetterQueue) { checks += payloadChecks + claimCheckChecks + batchFailureChecks }
        if features.contains(.connectionLoss) { checks += connectionChecks }
        return checks
    }

    /// Returns a check that runs in a separate namespace.
    func check(
        _ name: String,
        _ body: @escaping @Sendable (ConformanceContext) async throws -> Void
    ) -> ConformanceCheck {
        ConformanceCheck(name) {
            let id = ConformanceContext.newID()
            let namespace = try await makeNamespace(id)
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(ConformanceContext(id: id, namespace: namespace)))
            } catch {
                result = .failure(error)
            }
            await namespace.close()
            try result.get()
        }
    }
}
