import ConnectionThread
import EventBus
import Synchronization

/// A publisher in confirm mode, over any number of connections.
///
/// Callers add events to an inbox and wake the thread once for many. ``PublishRouter`` decides which events are sent,
/// and on which of two channels. The publisher outlives connections: events that one did not confirm are sent again on the
/// next one.
actor RabbitPublisher {
    typealias Router = PublishRouter<PublishPromise>
    typealias Item = Router.Item

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

    private var router: Router
    private var sample = ConfirmSample()
    private var primary: Link?
    private var isolated: Link?
    var lastFailure: AMQPFailure?
    /// The error that ended the publisher, or `nil` while it is running.
    var ending: EventBusError?
    private var resolved: [Router.Machine.Resolved] = []
    private var timer: (id: TimerID, deadline: MonotonicTime)?
    private var drainWaiters: [CheckedContinuation<Void, Never>] = []
    /// A Boolean value indicating whether draining includes events that wait to be sent.
    private var drainsWaiting = false
    private var detachWaiters: [CheckedContinuation<Void, Never>] = []
    private var probeWaiters: [CheckedContinuation<Void, Never>] = []

    /// Creates a publisher.
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
        self.router = Router(maximumCount: maximumCount, maximumBytes: maximumBytes)
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
        of batch: PublishBatchPromise,
        outcome: PublishOutcome,
        deadline: MonotonicTime
    ) async -> PublishBatchPromise.Results {
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
            router.add(item)
            if timer.map({ item.deadline < $0.deadline }) ?? true { setTimer(item.deadline) }
        }
        for id in cancelled { router.cancel(id, &resolved) }
        advance()
    }

    /// Records the reason why there is no connection.
    func note(_ failure: AMQPFailure) {
        if primary == nil { lastFailure = failure }
    }

    /// Starts to use a connection.
    func attach(to connection: RabbitConnection) async throws(AMQPFailure) {
        primary = try await open(.primary, on: connection)
        advance()
    }

    /// Opens the second channel. See ``waitUntilProbeNeeded(on:)``.
    func attachProbe(to connection: RabbitConnection) async throws(AMQPFailure) {
        isolated = try await open(.isolated, on: connection)
        advance()
    }

    private func open(_ role: Router.ChannelRole, on connection: RabbitConnection) async throws(AMQPFailure) -> Link {
        let channel = try await connection.openChannel { [weak self] event in
            self?.assumeIsolated { $0.handle(event, on: role) }
        }
        try await connection.call(.confirmSelect, on: channel)
        let state = connection.state(of: channel)
        guard state.isUsable else { throw AMQPFailure(.channelClosed(0), "the channel was closed as it was opened") }
        router.connected(role, isBlocked: state.isBlocked)
        return Link(connection: connection, channel: channel)
    }

    /// A Boolean value indicating whether the channel is usable.
    var isAttached: Bool { primary != nil }

    /// Records whether the broker currently accepts events.
    func setBlocked(_ isBlocked: Bool) {
        router.setBlocked(isBlocked)
        advance()
    }

    /// Continues to send, because the socket has room.
    func becameWritable() {
        advance()
    }

    /// Waits for the confirms of sent events, while the connection is alive and until `deadline` at most.
    func drain(until deadline: MonotonicTime) async {
        guard primary != nil, router.unconfirmed > 0 else { return }
        await waitUntilDrained(until: deadline)
    }

    /// Waits until no event waits or is unconfirmed, also without a connection, until `deadline` at most.
    func drainAll(until deadline: MonotonicTime) async {
        drainsWaiting = true
        guard !isDrained else { return }
        await waitUntilDrained(until: deadline)
    }

    private var isDrained: Bool {
        router.unconfirmed == 0 && (!drainsWaiting || router.waitingCount == 0)
    }

    private func waitUntilDrained(until deadline: MonotonicTime) async {
        thread.schedule(at: deadline) { [weak self] in self?.assumeIsolated { $0.wakeDrainWaiters() } }
        await withCheckedContinuation { drainWaiters.append($0) }
    }

    private func wakeDrainWaiters() {
        let waiters = drainWaiters
        drainWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    /// Waits until the publisher has no channel.
    func waitUntilDetached() async {
        guard primary != nil else { return }
        await withCheckedContinuation { detachWaiters.append($0) }
    }

    /// Waits until events wait for the second channel and the first one is open, or until the connection has ended.
    func waitUntilProbeNeeded(on connection: RabbitConnection) async {
        guard !isProbeNeeded, connection.isOpenOnThread else { return }
        await withCheckedContinuation { probeWaiters.append($0) }
    }

    /// A Boolean value indicating whether the second channel should be opened. It is opened after the first one,
    /// because missing objects are declared before that.
    var isProbeNeeded: Bool { primary != nil && router.needsIsolatedChannel }

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
        detach(.isolated, failure)
        detach(.primary, failure)
        router.cancelWaiting(&resolved)
        advance()
        if let timer { thread.cancel(timer.id) }
        timer = nil
    }

    /// Handles the end of a channel, perhaps with its connection.
    private func detach(_ role: Router.ChannelRole, _ failure: AMQPFailure) {
        lastFailure = failure
        switch role {
        case .primary:
            guard primary != nil else { return }
            primary = nil
            sample.cancel()
        case .isolated:
            guard isolated != nil else { return }
            isolated = nil
        }
        // A `connection.blocked` is void after its connection is closed.
        if !failure.isChannelOnly { router.setBlocked(false) }
        if let refusal = router.disconnected(role, failure, &resolved) { onRefusal(refusal) }
        advance()
        guard role == .primary else { return }
        let waiters = detachWaiters
        detachWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    private func handle(_ event: ChannelEvent, on role: Router.ChannelRole) {
        switch event {
        case .confirmed(let tag, let multiple, let isAcknowledged):
            if let onConfirm, role == .primary, let time = sample.confirmed(tag, multiple: multiple) { onConfirm(time) }
            router.confirmed(role, tag: tag, multiple: multiple, isAcknowledged: isAcknowledged, &resolved)
            // Many confirms arrive in one turn, and one check of the window serves them all.
            advanceAtEndOfTurn()
        case .returned(let message, _, _):
            router.returned(role, message)
        case .closed(let failure):
            detach(role, failure)
        case .delivered, .unreadable, .consumerCancelled:
            break
        }
    }

    private var isAdvanceScheduled = false

    private func advanceAtEndOfTurn() {
        guard !isAdvanceScheduled else { return }
        isAdvanceScheduled = true
        thread.atEndOfTurn { [weak self] in
            self?.assumeIsolated { publisher in
                publisher.isAdvanceScheduled = false
                publisher.advance()
            }
        }
    }

    /// Sends events that may be sent, then resolves finished ones.
    private func advance() {
        if let primary {
            let areMany = router.waitingCount > 1
            if areMany { primary.connection.assumeIsolated { $0.setCork(true) } }
            send(.primary, primary)
            if areMany { primary.connection.assumeIsolated { $0.setCork(false) } }
        }
        if let isolated { send(.isolated, isolated) }
        unconfirmed.store(router.unconfirmed, ordering: .relaxed)
        waiting.store(router.waitingCount, ordering: .relaxed)
        if !resolved.isEmpty {
            finish(resolved)
            resolved.removeAll(keepingCapacity: true)
        }
        if !drainWaiters.isEmpty, isDrained { wakeDrainWaiters() }
        if !probeWaiters.isEmpty, isProbeNeeded { wakeProbeWaiters() }
    }

    private func send(_ role: Router.ChannelRole, _ link: Link) {
        while let next = router.takeNext(role) {
            switch link.connection.assumeIsolated({ $0.publish(next, on: link.channel) }) {
            case .sent:
                if onConfirm != nil, role == .primary, sample.isIdle { sample.begin(router.lastTag) }
            case .noRoom:
                return router.putBack(role)
            case .unsendable(let problem):
                router.dropTaken(role, problem, &resolved)
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
        router.expire(at: .now, &resolved)
        if let next = router.earliestDeadline { setTimer(next) }
        advance()
    }

    private func finish(_ resolved: [Router.Machine.Resolved]) {
        for (token, resolution) in resolved {
            if case .confirmed(let outcome) = resolution {
                token.resolve(.success(outcome))
            } else {
                token.resolve(.failure(error(for: resolution)))
            }
        }
    }
}
