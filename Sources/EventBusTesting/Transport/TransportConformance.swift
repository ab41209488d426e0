public import EventBus

/// The contract of a ``/EventBus/Transport``, executable: run every check against your transport.
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
/// The checks are independent of each other and may run side by side. They wait for conditions, never for a fixed time,
/// and their delays are 100 ms at most.
public struct TransportConformance: Sendable {
    /// What a transport can do beyond the core of the contract. Checks of what it cannot do are left out.
    public struct Features: OptionSet, Sendable {
        /// The features, one in each bit.
        public let rawValue: Int

        /// Features from their bits.
        public init(rawValue: Int) { self.rawValue = rawValue }

        /// `request` and `reply`.
        public static let requestReply = Features(rawValue: 1 << 0)
        /// Broadcast subscriptions.
        public static let broadcast = Features(rawValue: 1 << 1)
        /// Publishing with a delay.
        public static let scheduling = Features(rawValue: 1 << 2)
        /// Order by partition key across instances.
        public static let keyOrder = Features(rawValue: 1 << 3)
        /// Reading, replaying and discarding dead letters.
        public static let deadLetterQueue = Features(rawValue: 1 << 4)
        /// Losing the connection and making it again: needs a namespace with `loseConnections`.
        public static let connectionLoss = Features(rawValue: 1 << 5)
        /// All of them.
        public static let all: Features = [
            .requestReply, .broadcast, .scheduling, .keyOrder, .deadLetterQueue, .connectionLoss,
        ]
    }

    let features: Features
    let largestPayload: Int
    let makeNamespace: @Sendable (_ name: String) async throws -> TransportNamespace

    /// The suite for one transport.
    ///
    /// - Parameters:
    ///   - features: What the transport can do.
    ///   - largestPayload: The size in bytes of the largest payload that is tried; 1 MiB unless stated.
    ///   - makeNamespace: Makes a place in which a check is alone, with the given name (letters and digits): a fresh
    ///     broker, or an exchange of its own. Groups and topics contain the name too.
    public init(
        features: Features = .all,
        largestPayload: Int = 1 << 20,
        makeNamespace: @escaping @Sendable (_ name: String) async throws -> TransportNamespace
    ) {
        self.features = features
        self.largestPayload = largestPayload
        self.makeNamespace = makeNamespace
    }

    /// Every check that applies to the transport's features.
    public var checks: [ConformanceCheck] {
        var checks = publishingChecks + routingChecks + consumingChecks + failureChecks + lifecycleChecks + limitChecks
        if features.contains(.requestReply) { checks += requestChecks }
        if features.contains(.broadcast) { checks += broadcastChecks }
        if features.contains(.scheduling) { checks += schedulingChecks + delayLimitChecks }
        if features.contains(.keyOrder) { checks += keyOrderChecks + keyOrderStopChecks }
        if features.isSuperset(of: [.keyOrder, .connectionLoss]) { checks += revocationChecks }
        if features.contains(.deadLetterQueue) { checks += deadLetterChecks }
        if features.contains(.connectionLoss) { checks += connectionChecks }
        return checks
    }

    /// A check that runs in a namespace of its own.
    func check(
        _ name: String,
        _ body: @escaping @Sendable (ConformanceScene) async throws -> Void
    ) -> ConformanceCheck {
        ConformanceCheck(name) {
            let id = ConformanceScene.newID()
            let namespace = try await makeNamespace(id)
            let result: Result<Void, any Error>
            do {
                result = .success(try await body(ConformanceScene(id: id, namespace: namespace)))
            } catch {
                result = .failure(error)
            }
            await namespace.close()
            try result.get()
        }
    }
}

/// A place on a broker in which a check is alone.
public struct TransportNamespace: Sendable {
    let makeTransport: @Sendable () async throws -> any Transport
    let loseConnections: (@Sendable () async throws -> Void)?
    let close: @Sendable () async -> Void

    /// A place on a broker.
    ///
    /// - Parameters:
    ///   - makeTransport: Makes one more connection to the place; each is run by one bus.
    ///   - loseConnections: Breaks every connection to the place, as a network failure would; new ones can be made at
    ///     once. `nil` where the suite is run without ``TransportConformance/Features/connectionLoss``.
    ///   - close: Removes what the check has left.
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
