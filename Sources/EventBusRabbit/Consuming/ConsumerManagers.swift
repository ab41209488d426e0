import ConnectionThread
import EventBus

/// The managers of a transport. Each has a separate connection and thread, because the number of channels of a connection
/// is limited.
final class ConsumerManagers: Sendable {
    private struct State {
        var managers: [ConsumerManager]
        /// The number of consumers that share a connection.
        var capacity: Int
        /// The names of the queues of all consumers that were ever attached.
        var attached: Set<String> = []
        var ended: EventBusError?
        var failure: (any Error)?
    }

    /// A stream of the managers, which yields each once.
    let arrivals: AsyncStream<ConsumerManager>
    /// The occasions for sending delayed events again that matched no queue.
    let missedDelays: MissedDelays
    /// A stream of the numbers of managers that have declared missing objects again.
    private let restorations: AsyncStream<Int>
    private let continuation: AsyncStream<ConsumerManager>.Continuation
    private let state: Locked<State>
    private let make: @Sendable (Int) throws(EventBusError) -> ConsumerManager

    /// Creates the first manager.
    ///
    /// - Parameters:
    ///   - capacity: The number of consumers that share a connection.
    ///   - make: A closure that creates the manager with a number. The manager reports to the other arguments.
    init(
        capacity: Int,
        make:
            @escaping @Sendable (Int, MissedDelays, AsyncStream<Int>.Continuation) throws(EventBusError) ->
            ConsumerManager
    ) throws(EventBusError) {
        let missedDelays = MissedDelays()
        self.missedDelays = missedDelays
        let (restorations, restored) = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingNewest(16))
        self.restorations = restorations
        let makeNumbered: @Sendable (Int) throws(EventBusError) -> ConsumerManager = { number throws(EventBusError) in
            try make(number, missedDelays, restored)
        }
        self.make = makeNumbered
        let first = try makeNumbered(0)
        state = Locked(State(managers: [first], capacity: capacity))
        (arrivals, continuation) = AsyncStream.makeStream()
        continuation.yield(first)
    }

    var all: [ConsumerManager] { state.withLock { $0.managers } }

    /// Adds a consumer to a manager with room and waits until it is attached for the first time.
    ///
    /// A consumer whose queue was attached before waits for everything. A subscription that pauses or changes its
    /// concurrency must not end because permissions are missing at that moment.
    func attach(_ specification: QueueSpecification, to sink: any DeliverySink) async throws -> RabbitConsumer {
        let name = specification.queueName
        let wasAttached = state.withLock { $0.attached.contains(name) }
        while true {
            do {
                let consumer = try await reserve().attach(specification, to: sink, endsOnRefusal: !wasAttached)
                state.withLock { _ = $0.attached.insert(name) }
                return consumer
            } catch let error as ConsumerManager.NoRoom {
                // The broker grants few channels. The other connections have no more.
                state.withLock { $0.capacity = min($0.capacity, error.room) }
            }
        }
    }

    /// Reserves a place on a manager. The manager frees it when the consumer is closed.
    private func reserve() throws(EventBusError) -> ConsumerManager {
        try state.withLock { state throws(EventBusError) in
            if let ended = state.ended { throw ended }
            let capacity = state.capacity
            if let manager = state.managers.first(where: { $0.reserve(below: capacity) }) { return manager }
            let manager = try make(state.managers.count)
            _ = manager.reserve(below: capacity)
            state.managers.append(manager)
            continuation.yield(manager)
            return manager
        }
    }

    /// Binds the queues of all managers whenever one has declared missing objects, until the task is cancelled. An exchange
    /// that was declared again has lost the bindings of the others, which find it present.
    func shareRestorations() async {
        for await number in restorations {
            for manager in all where manager.number != number { await manager.bindRestored() }
        }
    }

    /// The reason why no further manager is added.
    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Adds no further manager, because the connection of one cannot be established.
    func finish(_ failure: any Error) {
        state.withLock { $0.failure = $0.failure ?? failure }
        continuation.finish()
    }

    /// Ends all managers. Later consumers are refused.
    func end(_ error: EventBusError) async {
        continuation.finish()
        let managers = state.withLock { state in
            state.ended = error
            return state.managers
        }
        for manager in managers { await manager.end(error) }
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
        for manager in all where await manager.serves(group) { return true }
        return false
    }

    /// Declares everything that this service needs. Returns `true` if everything exists now.
    func declareAgain(_ reason: String) async -> Bool {
        var isThere = true
        for manager in all { isThere = await manager.declareAgain(reason) && isThere }
        return isThere
    }
}
