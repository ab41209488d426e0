import ConnectionThread
import EventBus
import Synchronization

/// A publisher in confirm mode, over any number of connections.
///
/// Callers add events to an inbox and wake the thread once for many. ``PublishTraffic`` decides which events are sent,
/// and on which of two channels. The lane outlives connections: events that one did not confirm are sent again on the
/// next one.
actor PublishLane {
    typealias Traffic = PublishTraffic<PublishTicket>
    typealias Item = Traffic.Item

    private struct Inbox {
        var items: [Item] = []
        var cancelled: [UInt64] = []
        var isScheduled = false
        var ended: EventBusError?
    }

    /// A channel in use.
    private struct Link {
        var connection: RabbitConnection
        var channel: UInt16
    }

    private let thread: ConnectionThread
    private let onRefusal: @Sendable (PublishRefusal) -> Void
    private let onConfirm: (@Sendable (Duration) -> Void)?
    private let inbox = Locked(Inbox())
    private let lastID = Atomic<UInt64>(0)
    /// The number of unconfirmed events, for health reports.
    nonisolated let unconfirmed = Atomic<Int>(0)
    /// The number of events that wait to be sent, for health reports.
    nonisolated let waiting = Atomic<Int>(0)

    private var traffic: Traffic
    private var sample = ConfirmSample()
    private var main: Link?
    private var probe: Link?
    var lastFailure: AMQPFailure?
    /// The error that ended the lane, or `nil` while it is running.
    var ending: EventBusError?
    private var resolved: [Traffic.Machine.Resolved] = []
    private var timer: (id: TimerID, deadline: MonotonicTime)?
    private var drainWaiters: [CheckedContinuation<Void, Never>] = []
    private var detachWaiters: [CheckedContinuation<Void, Never>] = []
    private var probeWaiters: [CheckedContinuation<Void, Never>] = []

    /// Creates a lane.
    ///
    /// - Parameters:
    ///   - maximumCount: The maximum number of unconfirmed events.
    ///   - maximumBytes: The maximum size of unconfirmed events in bytes.
    ///   - onRefusal: A closure that is called on the thread when the broker starts to refuse events with some
    ///     destination.
    ///   - onConfirm: A closure that is called on the thread with the time until the confirm of some events, or `nil`.
    init(
        thread: ConnectionThread,
        maximumCount: Int,
        maximumBytes: Int,
        onRefusal: @escaping @Sendable (PublishRefusal) -> Void = { _ in },
        onConfirm: (@Sendable (Duration) -> Void)? = nil
    ) {
        self.thread = thread
        self.onRefusal = onRefusal
        self.onConfirm = onConfirm
        self.traffic = Traffic(maximumCount: maximumCount, maximumBytes: maximumBytes)
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    // MARK: Calls from any thread

    /// Publishes one event and waits for its outcome.
    nonisolated func publish(
        _ publish: AMQPPublish,
        outcome: PublishOutcome,
        deadline: MonotonicTime
    ) async throws -> PublishOutcome {
        try Task.checkCancellation()
        let id = lastID.wrappingAdd(1, ordering: .relaxed).newValue
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                submit([
                    Item(
                        id: id,
                        publish: publish,
                        outcome: outcome,
                        deadline: deadline,
                        token: .single(continuation)
                    )
                ])
                // The handler may have run before the event was in the inbox.
                if Task.isCancelled { cancel(id) }
            }
        } onCancel: {
            cancel(id)
        }
    }

    /// Publishes many events in order and waits for all outcomes.
    nonisolated func publish(
        _ publishes: [(index: Int, publish: AMQPPublish)],
        of batch: PublishBatch,
        outcome: PublishOutcome,
        deadline: MonotonicTime
    ) async -> PublishBatch.Results {
        let ids = publishes.map { _ in lastID.wrappingAdd(1, ordering: .relaxed).newValue }
        return await withTaskCancellationHandler {
            submit(
                zip(ids, publishes).map { id, element in
                    Item(
                        id: id,
                        publish: element.publish,
                        outcome: outcome,
                        deadline: deadline,
                        token: .batch(batch, index: element.index)
                    )
                }
            )
            if Task.isCancelled { for id in ids { cancel(id) } }
            return await batch.results()
        } onCancel: {
            for id in ids { cancel(id) }
        }
    }

    /// Sends an event once, without waiting.
    nonisolated func send(_ publish: AMQPPublish, deadline: MonotonicTime) {
        let id = lastID.wrappingAdd(1, ordering: .relaxed).newValue
        submit([
            Item(
                id: id,
                publish: publish,
                outcome: .routed,
                deadline: deadline,
                isResent: false,
                token: .none
            )
        ])
    }

    private nonisolated func submit(_ items: [Item]) {
        let (isFirst, ended): (Bool, EventBusError?) = inbox.withLock { inbox in
            if let ended = inbox.ended { return (false, ended) }
            inbox.items += items
            defer { inbox.isScheduled = true }
            return (!inbox.isScheduled, nil)
        }
        if let ended {
            for item in items { item.token.resolve(.failure(ended)) }
        } else if isFirst {
            scheduleDrain()
        }
    }

    private nonisolated func cancel(_ id: UInt64) {
        let isFirst = inbox.withLock { inbox in
            if inbox.ended != nil { return false }
            inbox.cancelled.append(id)
            defer { inbox.isScheduled = true }
            return !inbox.isScheduled
        }
        if isFirst { scheduleDrain() }
    }

    private nonisolated func scheduleDrain() {
        thread.execute { [weak self] in self?.assumeIsolated { $0.drainInbox() } }
    }

    // MARK: On the thread

    private func drainInbox() {
        let (items, cancelled) = inbox.withLock { inbox in
            inbox.isScheduled = false
            defer {
                inbox.items = []
                inbox.cancelled = []
            }
            return (inbox.items, inbox.cancelled)
        }
        for item in items {
            traffic.add(item)
            if timer.map({ item.deadline < $0.deadline }) ?? true { setTimer(item.deadline) }
        }
        for id in cancelled { traffic.cancel(id, &resolved) }
        advance()
    }

    /// Records the reason why there is no connection.
    func note(_ failure: AMQPFailure) {
        if main == nil { lastFailure = failure }
    }

    /// Starts to use a connection.
    func attach(to connection: RabbitConnection) async throws(AMQPFailure) {
        main = try await open(.main, on: connection)
        advance()
    }

    /// Opens the second channel. See ``waitUntilProbeNeeded(on:)``.
    func attachProbe(to connection: RabbitConnection) async throws(AMQPFailure) {
        probe = try await open(.probe, on: connection)
        advance()
    }

    private func open(_ line: Traffic.Line, on connection: RabbitConnection) async throws(AMQPFailure) -> Link {
        let channel = try await connection.openChannel { [weak self] event in
            self?.assumeIsolated { $0.handle(event, on: line) }
        }
        try await connection.call(.confirmSelect, on: channel)
        let state = connection.state(of: channel)
        guard state.isUsable else { throw AMQPFailure(.channelClosed(0), "the channel was closed as it was opened") }
        traffic.connected(line, isBlocked: state.isBlocked)
        return Link(connection: connection, channel: channel)
    }

    /// A Boolean value indicating whether the channel is usable.
    var isAttached: Bool { main != nil }

    /// Records whether the broker currently accepts events.
    func setBlocked(_ isBlocked: Bool) {
        traffic.setBlocked(isBlocked)
        advance()
    }

    /// Continues to send, because the socket has room.
    func becameWritable() {
        advance()
    }

    /// Waits for the confirms of sent events, while the connection is alive and until `deadline` at most.
    func drain(until deadline: MonotonicTime) async {
        guard main != nil, traffic.unconfirmed > 0 else { return }
        thread.schedule(at: deadline) { [weak self] in self?.assumeIsolated { $0.wakeDrainWaiters() } }
        await withCheckedContinuation { drainWaiters.append($0) }
    }

    private func wakeDrainWaiters() {
        let waiters = drainWaiters
        drainWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    /// Waits until the lane has no channel.
    func waitUntilDetached() async {
        guard main != nil else { return }
        await withCheckedContinuation { detachWaiters.append($0) }
    }

    /// Waits until events wait for the second channel and the first one is open, or until the connection has ended.
    func waitUntilProbeNeeded(on connection: RabbitConnection) async {
        guard !isProbeNeeded, connection.isOpenOnThread else { return }
        await withCheckedContinuation { probeWaiters.append($0) }
    }

    /// A Boolean value indicating whether the second channel should be opened. It is opened after the first one,
    /// because missing objects are declared before that.
    var isProbeNeeded: Bool { main != nil && traffic.needsProbe }

    /// Wakes the tasks that wait for the second channel to be needed. It is also called when the connection has ended.
    func wakeProbeWaiters() {
        let waiters = probeWaiters
        probeWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    /// Resolves everything, and refuses all further events.
    func end(_ error: EventBusError) {
        let items = inbox.withLock { inbox in
            inbox.ended = error
            defer { inbox.items = [] }
            return inbox.items
        }
        for item in items { item.token.resolve(.failure(error)) }
        ending = error
        let failure = AMQPFailure(.closedByUs, error.message)
        detach(.probe, failure)
        detach(.main, failure)
        traffic.cancelWaiting(&resolved)
        advance()
        if let timer { thread.cancel(timer.id) }
        timer = nil
    }

    /// Handles the end of a channel, perhaps with its connection.
    private func detach(_ line: Traffic.Line, _ failure: AMQPFailure) {
        lastFailure = failure
        switch line {
        case .main:
            guard main != nil else { return }
            main = nil
            sample.cancel()
        case .probe:
            guard probe != nil else { return }
            probe = nil
        }
        // A `connection.blocked` is void after its connection is closed.
        if !failure.isChannelOnly { traffic.setBlocked(false) }
        if let refusal = traffic.disconnected(line, failure, &resolved) { onRefusal(refusal) }
        advance()
        guard line == .main else { return }
        let waiters = detachWaiters
        detachWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    private func handle(_ event: ChannelEvent, on line: Traffic.Line) {
        switch event {
        case .confirmed(let tag, let multiple, let isAcknowledged):
            if let onConfirm, line == .main, let time = sample.confirmed(tag, multiple: multiple) { onConfirm(time) }
            traffic.confirmed(line, tag: tag, multiple: multiple, isAcknowledged: isAcknowledged, &resolved)
            // Many confirms arrive in one turn, and one check of the window serves them all.
            advanceAtEndOfTurn()
        case .returned(let message, _, _):
            traffic.returned(line, message)
        case .closed(let failure):
            detach(line, failure)
        case .delivered, .unreadable, .consumerCancelled:
            break
        }
    }

    private var isAdvanceScheduled = false

    private func advanceAtEndOfTurn() {
        guard !isAdvanceScheduled else { return }
        isAdvanceScheduled = true
        thread.atEndOfTurn { [weak self] in
            self?.assumeIsolated { lane in
                lane.isAdvanceScheduled = false
                lane.advance()
            }
        }
    }

    /// Sends events that may be sent, then resolves finished ones.
    private func advance() {
        if let main {
            let areMany = traffic.waitingCount > 1
            if areMany { main.connection.assumeIsolated { $0.setCork(true) } }
            send(.main, main)
            if areMany { main.connection.assumeIsolated { $0.setCork(false) } }
        }
        if let probe { send(.probe, probe) }
        unconfirmed.store(traffic.unconfirmed, ordering: .relaxed)
        waiting.store(traffic.waitingCount, ordering: .relaxed)
        if !resolved.isEmpty {
            finish(resolved)
            resolved.removeAll(keepingCapacity: true)
        }
        if traffic.unconfirmed == 0, !drainWaiters.isEmpty { wakeDrainWaiters() }
        if !probeWaiters.isEmpty, isProbeNeeded { wakeProbeWaiters() }
    }

    private func send(_ line: Traffic.Line, _ link: Link) {
        while let next = traffic.takeNext(line) {
            switch link.connection.assumeIsolated({ $0.publish(next, on: link.channel) }) {
            case .sent:
                if onConfirm != nil, line == .main, sample.isIdle { sample.begin(traffic.lastTag) }
            case .noRoom:
                return traffic.putBack(line)
            case .unsendable(let problem):
                traffic.dropTaken(line, problem, &resolved)
            }
        }
    }

    private func setTimer(_ deadline: MonotonicTime) {
        if let timer { thread.cancel(timer.id) }
        let id = thread.schedule(at: deadline) { [weak self] in
            self?.assumeIsolated { $0.expire() }
        }
        timer = (id, deadline)
    }

    private func expire() {
        timer = nil
        traffic.expire(at: .now, &resolved)
        if let next = traffic.earliestDeadline { setTimer(next) }
        advance()
    }

    private func finish(_ resolved: [Traffic.Machine.Resolved]) {
        for (token, resolution) in resolved {
            if case .confirmed(let outcome) = resolution {
                token.resolve(.success(outcome))
            } else {
                token.resolve(.failure(error(for: resolution)))
            }
        }
    }
}
