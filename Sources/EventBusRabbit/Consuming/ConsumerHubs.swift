import ConnectionThread
import EventBus

/// The hubs of a transport, each with a connection and a thread of its own, because a connection has a limited number of
/// channels.
final class ConsumerHubs: Sendable {
    private struct State {
        var hubs: [ConsumerHub]
        var ended: EventBusError?
        var failure: (any Error)?
    }

    /// Every hub, once.
    let arrivals: AsyncStream<ConsumerHub>
    /// That something which was missing on the broker is there again.
    let restorations: AsyncStream<Void>
    private let continuation: AsyncStream<ConsumerHub>.Continuation
    private let state: Locked<State>
    private let capacity: Int
    private let make: @Sendable (Int) throws(EventBusError) -> ConsumerHub

    /// Creates the first hub.
    ///
    /// - Parameters:
    ///   - capacity: The number of consumers that share a connection.
    ///   - make: Makes the hub with a number, which says when it has restored something.
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

    /// Adds a consumer where there is room and waits until it is attached for the first time.
    func attach(_ specification: QueueSpecification, to sink: any DeliverySink) async throws -> RabbitConsumer {
        try await reserve().attach(specification, to: sink)
    }

    /// Takes a place on a hub; the hub gives it back when the consumer is closed.
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

    /// Why no further hub comes.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Lets no further hub come, since the connection of one cannot be made.
    func finish(_ failure: any Error) {
        state.withLock { $0.failure = $0.failure ?? failure }
        continuation.finish()
    }

    /// Refuses everything from now on.
    func end(_ error: EventBusError) async {
        continuation.finish()
        let hubs = state.withLock { state in
            state.ended = error
            return state.hubs
        }
        for hub in hubs { await hub.end(error) }
    }

    /// Waits for a connection; throws when the transport has ended or the deadline passed.
    func waitForConnection(until deadline: MonotonicTime) async throws {
        _ = try await all[0].waitForConnection(until: deadline)
    }

    /// Whether a subscription of this service is attached that asks for a topic.
    func expects(_ topic: String) -> Bool {
        all.contains { $0.expects(topic) }
    }

    /// Whether a queue is that of a subscription of this service that is attached.
    func owns(_ queue: String) -> Bool {
        all.contains { $0.owns(queue) }
    }

    /// Whether this service has a subscription of a group.
    func serves(_ group: String) async -> Bool {
        for hub in all where await hub.serves(group) { return true }
        return false
    }

    /// Declares everything that this service needs, and returns whether everything is there now.
    func declareAgain(_ reason: String) async -> Bool {
        var isThere = true
        for hub in all { isThere = await hub.declareAgain(reason) && isThere }
        return isThere
    }
}
