import EventBus

/// The nodes of a Redis Cluster, and the slots that they serve as far as this process knows.
///
/// The slots are asked for when they are first needed, when a node redirects a command, and when a node cannot be
/// reached. One connection, to any node, carries these questions.
final class RedisCluster: Sendable {
    /// The connections to one node.
    final class Node: Sendable {
        let address: NodeAddress
        let commands: RedisConnection
        let values: RedisConnection

        init(_ address: NodeAddress, commands: RedisConnection, values: RedisConnection) {
            self.address = address
            self.commands = commands
            self.values = values
        }
    }

    private struct State {
        var slots: SlotMap?
        var nodes: [NodeAddress: Node] = [:]
        var problem: EventBusError?
        /// A signal that is raised at the end of the question that is under way, if there is one.
        var question: Signal?
        /// The time before which no further question is asked, unless the slots are unknown.
        var nextQuestion = ContinuousClock.now
        var isClosed = false
    }

    private let control: RedisConnection
    private let hosts: ClusterHosts
    private let subscribers: PrimaryChange
    private let makeNode: @Sendable (NodeAddress) -> Node
    private let state = Locked(State())

    /// The minimum time between two questions.
    private static let pause = Duration.milliseconds(100)

    /// - Parameters:
    ///   - control: The connection for questions about the cluster, to any node.
    ///   - hosts: The addresses that `control` connects to.
    ///   - subscribers: The connections for messages, to any node.
    ///   - makeNode: A function that creates the connections to a node.
    init(
        control: RedisConnection,
        hosts: ClusterHosts,
        subscribers: PrimaryChange,
        makeNode: @escaping @Sendable (NodeAddress) -> Node
    ) {
        self.control = control
        self.hosts = hosts
        self.subscribers = subscribers
        self.makeNode = makeNode
    }

    /// Returns the node that serves `slot`, or any node if it is `nil`. If the slots are not known yet, the cluster is
    /// asked for them.
    func node(for slot: Int?, until deadline: AnyClock.Instant) async throws -> Node {
        try await node(in: slots(until: deadline), for: slot)
    }

    /// Returns the node that serves `slot` as far as this process knows.
    func knownNode(for slot: Int?) throws(EventBusError) -> Node {
        guard let slots = state.withLock({ $0.slots }) else {
            ask()
            throw EventBusError(.unavailable, "the slots of the Redis cluster are not known yet")
        }
        return try node(in: slots, for: slot)
    }

    /// Returns all nodes that serve slots.
    func nodes(until deadline: AnyClock.Instant) async throws -> [Node] {
        try await slots(until: deadline).primaries.map { try node(at: $0) }
    }

    /// Returns the node with an address. Its connections are opened when they are first used.
    func node(at address: NodeAddress) throws(EventBusError) -> Node {
        let node: Node? = state.withLock { state in
            if let node = state.nodes[address] { return node }
            if state.isClosed { return nil }
            let node = makeNode(address)
            state.nodes[address] = node
            return node
        }
        guard let node else { throw .closed }
        return node
    }

    private func node(in slots: SlotMap, for slot: Int?) throws(EventBusError) -> Node {
        guard let address = slot.map({ slots[$0] }) ?? slots.primaries.first else {
            ask()
            throw EventBusError(.unavailable, "no node of the Redis cluster serves the slot of this key")
        }
        return try node(at: address)
    }

    /// Records that a node redirected a command.
    func noteMoved(_ slot: Int, to address: NodeAddress) {
        let isNews = state.withLock { state in state.slots?.move(slot, to: address) ?? true }
        if isNews { ask() }
    }

    // MARK: Slots

    private func slots(until deadline: AnyClock.Instant) async throws -> SlotMap {
        if let slots = state.withLock({ $0.slots }) { return slots }
        if let question = ask() {
            _ = try await withDeadline(deadline, clock: .continuous) { try await question.wait() }
        }
        return try state.withLock { state in
            if let slots = state.slots { return slots }
            if state.isClosed { throw EventBusError.closed }
            throw state.problem ?? EventBusError(.unavailable, "the slots of the Redis cluster were not known in time")
        }
    }

    /// Asks for the slots in the background, unless that has just been done.
    @discardableResult
    func ask() -> Signal? {
        let now = ContinuousClock.now
        let (question, isNew): (Signal?, Bool) = state.withLock { state in
            if let question = state.question { return (question, false) }
            guard !state.isClosed, state.slots == nil || now >= state.nextQuestion else { return (nil, false) }
            let question = Signal()
            state.question = question
            return (question, true)
        }
        if isNew, let question { Task { await self.learn(question) } }
        return question
    }

    private func learn(_ question: Signal) async {
        let result: Result<SlotMap, EventBusError>
        do {
            result = .success(try await askForSlots())
        } catch {
            let error = error as? EventBusError
            result = .failure(error ?? EventBusError(.unavailable, "the Redis cluster was not asked for its slots"))
        }
        // Released after the lock. Callers keep the connections on which they have commands in flight.
        let (former, isChanged): ([Node], Bool) = state.withLock { state in
            state.question = nil
            state.nextQuestion = ContinuousClock.now.advanced(by: Self.pause)
            switch result {
            case .failure(let error):
                state.problem = error
                return ([], false)
            case .success(let slots):
                let former = state.nodes.values.filter { !slots.primaries.contains($0.address) }
                for node in former { state.nodes[node.address] = nil }
                let isChanged = state.slots != nil && state.slots != slots
                state.slots = slots
                state.problem = nil
                return (former, isChanged)
            }
        }
        if case .success(let slots) = result {
            hosts.note(slots.primaries)
            // Messages of a node that has left the cluster would be missed.
            if isChanged { subscribers.notify(outside: Set(slots.primaries.map(\.description))) }
        }
        question.raise()
        withExtendedLifetime(former) {}
    }

    /// Asks any node for the slots. A node that has lost the connection to the cluster is left.
    private func askForSlots() async throws -> SlotMap {
        let replies = try await control.send(
            contentsOf: [RedisCommand("CLUSTER", ["SLOTS"]), RedisCommand("CLUSTER", ["INFO"])]
        )
        if case .error(let message) = replies[0], message.contains("cluster support disabled") {
            throw EventBusError(.unsupported, "this Redis is no node of a cluster; connect with redis:// instead")
        }
        let host = control.presence.server?.address.host ?? ""
        guard let slots = SlotMap(try replies[0].orThrow(), askedAt: host) else {
            throw EventBusError(.unavailable, "Redis answered CLUSTER SLOTS with something that makes no sense")
        }
        // Without the permission to ask, the state is not known.
        if replies[1].text?.contains("cluster_state:fail") == true {
            let reason = EventBusError(
                .unavailable,
                "the Redis cluster is down, or this node has lost its connection to it"
            )
            await control.leaveServer(reason)
            if slots.primaries.isEmpty { throw reason }
        }
        return slots
    }

    // MARK: Health

    /// Throws if a node does not answer, or if nobody serves some slots.
    func requireNodes() async throws {
        let deadline = AnyClock.continuous.now.advanced(by: control.configuration.commandTimeout)
        ask()
        let slots = try await slots(until: deadline)
        guard slots.unservedCount == 0 else {
            throw EventBusError(.unavailable, "no node of the Redis cluster serves \(slots.unservedCount) of its slots")
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in try await nodes(until: deadline) {
                group.addTask {
                    do {
                        try await node.commands.requirePrimary()
                        if let refusal = node.values.queue.refusal { throw refusal }
                    } catch let error as EventBusError {
                        self.ask()
                        throw EventBusError(error.code, "node \(node.address): \(error.message)", underlying: error)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// The connections to the nodes.
    var connections: [RedisConnection] {
        state.withLock { $0.nodes.values.flatMap { [$0.commands, $0.values] } }
    }

    /// Closes the connections to all nodes permanently.
    func close() async {
        let nodes = state.withLock { state in
            state.isClosed = true
            return Array(state.nodes.values)
        }
        for node in nodes {
            await node.commands.close()
            await node.values.close()
        }
    }
}

extension EventBusError {
    /// The error for a client that was closed.
    static var closed: EventBusError { EventBusError(.shuttingDown, "the connection to Redis was closed") }
}
