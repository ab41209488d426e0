import ConnectionThread
import EventBus

/// The hubs of a transport, each with a connection and a thread of its own, because a connection has a limited number of
/// channels.
final class ConsumerHubs: Sendable {
    private struct State {
        var hubs: [ConsumerHub]
        var ended: EventBusError?
    }

    /// Every hub, once.
    let arrivals: AsyncStream<ConsumerHub>
    private let continuation: AsyncStream<ConsumerHub>.Continuation
    private let state: Locked<State>
    private let capacity: Int
    private let make: @Sendable (Int) throws(EventBusError) -> ConsumerHub

    /// Creates the first hub.
    ///
    /// - Parameters:
    ///   - capacity: The number of consumers that share a connection.
    ///   - make: Makes the hub with a number.
    init(
        capacity: Int,
        make: @escaping @Sendable (Int) throws(EventBusError) -> ConsumerHub
    ) throws(EventBusError) {
        let first = try make(0)
        self.capacity = capacity
        self.make = make
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

    /// Lets no further hub come.
    func finish() {
        continuation.finish()
    }

    /// Refuses everything from now on.
    func end(_ error: EventBusError) async {
        finish()
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
