import ConnectionThread
import EventBus

/// The hubs of a transport. Each has a separate connection and thread, because the number of channels of a connection
/// is limited.
final class ConsumerHubs: Sendable {
    private struct State {
        var hubs: [ConsumerHub]
        /// The names of the queues of all consumers that were ever attached.
        var attached: Set<String> = []
        var ended: EventBusError?
        var failure: (any Error)?
    }

    /// A stream of the hubs, which yields each once.
    let arrivals: AsyncStream<ConsumerHub>
    /// A stream that yields when missing objects exist on the broker again.
    let restorations: AsyncStream<Void>
    private let continuation: AsyncStream<ConsumerHub>.Continuation
    private let state: Locked<State>
    private let capacity: Int
    private let make: @Sendable (Int) throws(EventBusError) -> ConsumerHub

    /// Creates the first hub.
    ///
    /// - Parameters:
    ///   - capacity: The number of consumers that share a connection.
    ///   - make: A closure that creates the hub with a number. The hub calls the second argument when it has restored
    ///     something.
    init(
        capacity: Int,
        make: @escaping @Sendable (Int, @escaping @Sendable () -> Void) throws(EventBusError) -> ConsumerHub
    ) throws(EventBusError) {
        let (restorations, restored) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.restorations = restorations
        self.capacity = capacity
        let makeNumbered: @Sendable (Int) throws(EventBusError) -> ConsumerHub = { number throws(EventBusError) in
            try make(number, { restored.yield() })
        }
        self.make = makeNumbered
        let first = try makeNumbered(0)
        state = Locked(State(hubs: [first]))
        (arrivals, continuation) = AsyncStream.makeStream()
        continuation.yield(first)
    }

    private var all: [ConsumerHub] { state.withLock { $0.hubs } }

    /// Adds a consumer to a hub with room and waits until it is attached for the first time.
    ///
    /// A consumer whose queue was attached before waits for everything. A subscription that pauses or changes its
    /// concurrency must not end because permissions are missing at that moment.
    func attach(_ specification: QueueSpecification, to sink: any DeliverySink) async throws -> RabbitConsumer {
        let name = specification.queueName
        let wasAttached = state.withLock { $0.attached.contains(name) }
        let consumer = try await reserve().attach(specification, to: sink, endsOnRefusal: !wasAttached)
        state.withLock { _ = $0.attached.insert(name) }
        return consumer
    }

    /// Reserves a place on a hub. The hub frees it when the consumer is closed.
    private func reserve() throws(EventBusError) -> ConsumerHub {
        try state.withLock { state throws(EventBusError) in
            if let ended = state.ended { throw ended }
            if let hub = state.hubs.first(where: { $0.reserve(below: capacity) }) { return hub }
            let hub = try make(state.hubs.count)
            _ = hub.reserve(below: capacity)
            state.hubs.append(hub)
            continuation.yield(hub)
            return hub
        }
    }

    /// The reason why no further hub is added.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Adds no further hub, because the connection of one cannot be established.
    func finish(_ failure: any Error) {
        state.withLock { $0.failure = $0.failure ?? failure }
        continuation.finish()
    }

    /// Ends all hubs. Later consumers are refused.
    func end(_ error: EventBusError) async {
        continuation.finish()
        let hubs = state.withLock { state in
            state.ended = error
            return state.hubs
        }
        for hub in hubs { await hub.end(error) }
    }

    /// Waits for a connection. Throws if the transport has ended or the deadline passes.
    func waitForConnection(until deadline: MonotonicTime) async throws {
        _ = try await all[0].waitForConnection(until: deadline)
    }

    /// Returns a Boolean value indicating whether an attached subscription of this service matches a topic.
    func expects(_ topic: String) -> Bool {
        all.contains { $0.expects(topic) }
    }

    /// Returns a Boolean value indicating whether a queue belongs to an attached subscription of this service.
    func owns(_ queue: String) -> Bool {
        all.contains { $0.owns(queue) }
    }

    /// Returns a Boolean value indicating whether this service has a subscription of a group.
    func serves(_ group: String) async -> Bool {
        for hub in all where await hub.serves(group) { return true }
        return false
    }

    /// Declares everything that this service needs. Returns `true` if everything exists now.
    func declareAgain(_ reason: String) async -> Bool {
        var isThere = true
        for hub in all { isThere = await hub.declareAgain(reason) && isThere }
        return isThere
    }
}
