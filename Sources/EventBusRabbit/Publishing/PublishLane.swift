import ConnectionThread
import EventBus
import Synchronization

/// Sends events on a channel in confirm mode, over as many connections as it takes.
///
/// Callers put events into an inbox and wake the thread once for many; the machine decides what goes out. The lane
/// outlives connections: what one did not confirm goes out again on the next.
actor PublishLane {
    typealias Machine = PublishMachine<PublishTicket>

    private struct Inbox {
        var items: [Machine.Item] = []
        var cancelled: [UInt64] = []
        var isScheduled = false
        var ended: EventBusError?
    }

    private let thread: ConnectionThread
    private let inbox = Locked(Inbox())
    private let lastID = Atomic<UInt64>(0)
    /// How many events are with the broker, for health.
    nonisolated let unconfirmed = Atomic<Int>(0)
    /// How many wait to be sent, for health.
    nonisolated let waiting = Atomic<Int>(0)

    private var machine: Machine
    private var connection: RabbitConnection?
    private var channel: UInt16 = 0
    private var lastFailure: AMQPFailure?
    /// Why the lane has ended; `nil` while it has not.
    private var ending: EventBusError?
    private var resolved: [Machine.Resolved] = []
    private var timer: (id: TimerID, deadline: MonotonicTime)?
    private var drainWaiters: [CheckedContinuation<Void, Never>] = []
    private var detachWaiters: [CheckedContinuation<Void, Never>] = []

    init(thread: ConnectionThread, maximumCount: Int, maximumBytes: Int) {
        self.thread = thread
        self.machine = Machine(maximumCount: maximumCount, maximumBytes: maximumBytes)
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    // MARK: from any thread

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
                    Machine.Item(
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
                    Machine.Item(
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

    /// Sends an event once, without waiting for anything.
    nonisolated func send(_ publish: AMQPPublish, deadline: MonotonicTime) {
        let id = lastID.wrappingAdd(1, ordering: .relaxed).newValue
        submit([
            Machine.Item(
                id: id,
                publish: publish,
                outcome: .routed,
                deadline: deadline,
                isResent: false,
                token: .none
            )
        ])
    }

    private nonisolated func submit(_ items: [Machine.Item]) {
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

    // MARK: on the thread

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
            machine.add(item)
            if timer.map({ item.deadline < $0.deadline }) ?? true { setTimer(item.deadline) }
        }
        for id in cancelled { machine.cancel(id, &resolved) }
        advance()
    }

    /// Takes a connection into use.
    func attach(to connection: RabbitConnection) async throws(AMQPFailure) {
        let channel = try await connection.openChannel { [weak self] event in
            self?.assumeIsolated { $0.handle(event) }
        }
        try await connection.call(.confirmSelect, on: channel)
        self.connection = connection
        self.channel = channel
        machine.connected()
        advance()
    }

    /// Whether the channel is usable.
    var isAttached: Bool { connection != nil }

    /// Says whether the broker takes events at present.
    func setBlocked(_ isBlocked: Bool) {
        machine.isBlocked = isBlocked
        advance()
    }

    /// Sends on: the socket has room.
    func becameWritable() {
        advance()
    }

    /// Waits for the confirms of what was sent, as long as the connection lives, until `deadline` at most.
    func drain(until deadline: MonotonicTime) async {
        guard connection != nil, machine.unconfirmed > 0 else { return }
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
        guard connection != nil else { return }
        await withCheckedContinuation { detachWaiters.append($0) }
    }

    /// Resolves everything, and refuses everything that comes.
    func end(_ error: EventBusError) {
        let items = inbox.withLock { inbox in
            inbox.ended = error
            defer { inbox.items = [] }
            return inbox.items
        }
        for item in items { item.token.resolve(.failure(error)) }
        ending = error
        detach(AMQPFailure(.closedByUs, error.message))
        machine.cancelWaiting(&resolved)
        advance()
        if let timer { thread.cancel(timer.id) }
        timer = nil
    }

    /// The connection, or its channel, is gone.
    func detach(_ failure: AMQPFailure) {
        lastFailure = failure
        guard connection != nil else { return }
        connection = nil
        machine.disconnected(&resolved)
        if failure.code == AMQPFailure.preconditionFailed, let limit = failure.text.messageSizeLimit {
            // Sent again, it would close the next channel too.
            machine.refuse(largerThan: limit, &resolved)
        }
        advance()
        let waiters = detachWaiters
        detachWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    private func handle(_ event: ChannelEvent) {
        switch event {
        case .confirmed(let tag, let multiple, let isAcknowledged):
            machine.confirmed(tag: tag, multiple: multiple, isAcknowledged: isAcknowledged, &resolved)
            // Many confirms come in one turn, and one look at the window serves them all.
            advanceAtEndOfTurn()
        case .returned(let message, _, _):
            machine.returned(messageID: message.properties.messageID)
        case .closed(let failure):
            detach(failure)
        case .delivered, .consumerCancelled:
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

    /// Sends what may be sent, then resolves what is resolved.
    private func advance() {
        if let connection {
            let channel = channel
            while let next = machine.takeNext() {
                if !connection.assumeIsolated({ $0.publish(next, on: channel) }) {
                    machine.putBack()
                    break
                }
            }
        }
        unconfirmed.store(machine.unconfirmed, ordering: .relaxed)
        waiting.store(machine.waitingCount, ordering: .relaxed)
        if !resolved.isEmpty {
            finish(resolved)
            resolved.removeAll(keepingCapacity: true)
        }
        if machine.unconfirmed == 0, !drainWaiters.isEmpty { wakeDrainWaiters() }
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
        machine.expire(at: .now, &resolved)
        if let next = machine.earliestDeadline { setTimer(next) }
        advance()
    }

    private func finish(_ resolved: [Machine.Resolved]) {
        for (token, resolution) in resolved {
            switch resolution {
            case .confirmed(let outcome):
                token.resolve(.success(outcome))
            case .cancelled:
                token.resolve(.failure(ending ?? CancellationError()))
            case .rejected:
                token.resolve(
                    .failure(EventBusError(.rejected, "the broker refused the event; see its log for the reason"))
                )
            case .tooLarge:
                token.resolve(.failure(EventBusError(.tooLarge, "the event is larger than the broker accepts")))
            case .timedOut:
                let reason = lastFailure.map { "there is no connection" + ($0.text.isEmpty ? "" : " (\($0))") }
                token.resolve(
                    .failure(
                        EventBusError(
                            .timedOut,
                            "the deadline passed before the event was sent: "
                                + (connection == nil
                                    ? reason ?? "there was no connection yet" : "too many wait before it"),
                            underlying: connection == nil ? lastFailure : nil
                        )
                    )
                )
            case .blocked:
                token.resolve(
                    .failure(
                        EventBusError(.blocked, "the broker takes no events at present: it is low on memory or disk")
                    )
                )
            case .indeterminate:
                token.resolve(
                    .failure(
                        EventBusError(
                            .indeterminate,
                            "the event was sent, but whether the broker holds it is unknown; publish it again with the same "
                                + "id to be sure",
                            underlying: ending ?? lastFailure
                        )
                    )
                )
            }
        }
    }
}

extension String {
    /// The broker's limit, if the text says that a message was larger: "message size 20 is larger than configured max
    /// size 10", or in older versions "… larger than max size 10".
    fileprivate var messageSizeLimit: Int? {
        guard contains("message size"), contains("max size") else { return nil }
        return split(separator: " ").last.flatMap { Int($0) }
    }
}
