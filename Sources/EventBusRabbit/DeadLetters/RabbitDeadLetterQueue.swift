import ConnectionThread
import EventBus

/// A group's dead letters on RabbitMQ: the queue `GROUP.dead`; or the delayed events that found no queue.
///
/// Reading takes entries out one by one, unacknowledged, on a channel of its own, whose end puts back what was not let
/// go. While one reader holds them another sees fewer.
struct RabbitDeadLetterQueue: DeadLetterQueue {
    let group: String
    let hub: ConsumerHub
    let lane: PublishLane

    private static let timeout = Duration.seconds(10)
    private static let publishTimeout = Duration.seconds(30)

    /// Where the entries rest.
    private let queueName: String
    /// Reads an entry.
    private let read: @Sendable (AMQPMessage) -> DeadLetterDecoder.Reading

    /// The dead letters of a group.
    init(group: String, hub: ConsumerHub, lane: PublishLane, decoder: MessageDecoder) {
        let decoder = DeadLetterDecoder(group: group, messages: decoder)
        self.group = group
        self.hub = hub
        self.lane = lane
        self.queueName = TopologyNames.deadLetterQueue(of: group)
        self.read = { decoder.read($0) }
    }

    /// The delayed events whose queue was gone at the end of their delay.
    init(unroutableDelaysWith hub: ConsumerHub, lane: PublishLane, decoder: MessageDecoder) {
        let decoder = DeadLetterDecoder(group: "", messages: decoder)
        self.group = ""
        self.hub = hub
        self.lane = lane
        self.queueName = TopologyNames.delayUnroutable
        self.read = { decoder.read(unroutable: $0) }
    }

    func count() async throws -> Int {
        try await withChannel { connection, channel, _ in
            let reply = try await call(
                .queueDeclare(QueueDeclaration(name: queueName, isPassive: true)),
                connection,
                channel
            )
            guard case .queue(_, let messages, _) = reply else { return 0 }
            return messages
        } ?? 0
    }

    func entries(limit: Int) async throws -> [DeadLetter] {
        try await withChannel { connection, channel, untouched in
            var letters: [DeadLetter] = []
            while letters.count < limit, let entry = try await next(connection, channel) {
                letters.append(read(entry.message).letter)
                untouched += 1
            }
            return letters
        } ?? []
    }

    func replay(
        options: ReplayOptions,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int {
        if let rate = options.maximumPerSecond, rate < 1 {
            throw EventBusError(.invalidConfiguration, "maximumPerSecond is \(rate); give at least 1, or nil")
        }
        let round =
            try await withChannel { connection, channel, untouched in
                var round = ReplayRound()
                // Those that are replayed may come back while this runs: one round through what there is.
                var remaining = try await count(connection, channel)
                let clock = ContinuousClock()
                var nextSlot = clock.now
                while remaining > 0, let entry = try await next(connection, channel) {
                    remaining -= 1
                    let reading = read(entry.message)
                    let letter = reading.letter
                    untouched += 1
                    guard isIncluded(letter) else { continue }
                    if options.dryRun {
                        round.replayed += 1
                        continue
                    }
                    if let rate = options.maximumPerSecond {
                        try await clock.sleep(until: nextSlot)
                        nextSlot = max(nextSlot, clock.now - .seconds(1)).advanced(by: .seconds(1) / rate)
                    }
                    do {
                        try await send(reading)
                    } catch let error as EventBusError where ReplayRound.isOfEntry(error.code) {
                        round.note(error, of: letter)
                        continue
                    }
                    await connection.acknowledge(entry.deliveryTag, multiple: false, on: channel)
                    untouched -= 1
                    round.replayed += 1
                }
                return round
            } ?? ReplayRound()
        try round.report(queueName)
        return round.replayed
    }

    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int {
        try await withChannel { connection, channel, untouched in
            var discarded = 0
            var remaining = try await count(connection, channel)
            while remaining > 0, let entry = try await next(connection, channel) {
                remaining -= 1
                guard isIncluded(read(entry.message).letter) else {
                    untouched += 1
                    continue
                }
                await connection.acknowledge(entry.deliveryTag, multiple: false, on: channel)
                discarded += 1
            }
            return discarded
        } ?? 0
    }

    // MARK: steps

    /// Sends a dead letter back to its queue, as a first attempt.
    private func send(_ reading: DeadLetterDecoder.Reading) async throws {
        let (letter, message) = (reading.letter, reading.original)
        guard !letter.queue.isEmpty else {
            throw EventBusError(.notFound, "the dead letter \(letter.envelope.id) does not say which queue it is from")
        }
        // A letter can be forged where others may write to the dead letters: it must not lead into another service.
        guard group.isEmpty || (letter.queue.hasPrefix(group + ".") && letter.queue != queueName) else {
            throw EventBusError(
                .unsupported,
                "the dead letter \(letter.envelope.id) is from \(letter.queue.quotedForError), which is no queue of the "
                    + "group \(group); discard it, or move it with the broker's tools"
            )
        }
        guard message.refusedSize == nil, message.properties.isLossless else {
            throw EventBusError(
                .unsupported,
                "the dead letter \(letter.envelope.id) cannot go out again as it came; discard it, or move it with the "
                    + "broker's tools"
            )
        }
        var properties = message.properties.forRepublish(
            id: letter.envelope.id,
            topic: reading.topic,
            from: message,
            isTrusted: reading.isTrusted
        )
        properties.headers[WireHeaders.firstFailure] = nil
        let outcome = try await lane.publish(
            AMQPPublish(exchange: "", routingKey: letter.queue, properties: properties, body: message.body),
            outcome: .routed,
            deadline: .now.advanced(by: Self.publishTimeout)
        )
        if outcome == .unroutable {
            throw EventBusError(
                .unroutable,
                "the queue \(letter.queue.quotedForError) is gone, or belongs to a broadcast; attach its subscription "
                    + "first, or publish the event anew"
            )
        }
    }

    private func count(_ connection: RabbitConnection, _ channel: UInt16) async throws -> Int {
        let reply = try await call(
            .queueDeclare(QueueDeclaration(name: queueName, isPassive: true)),
            connection,
            channel
        )
        guard case .queue(_, let messages, _) = reply else { return 0 }
        return messages
    }

    private func next(_ connection: RabbitConnection, _ channel: UInt16) async throws -> AMQPDelivery? {
        try Task.checkCancellation()
        guard case .message(let delivery, _) = try await call(.basicGet(queue: queueName), connection, channel) else {
            return nil
        }
        return delivery
    }

    private func call(
        _ call: AMQPCall,
        _ connection: RabbitConnection,
        _ channel: UInt16
    ) async throws(AMQPFailure) -> AMQPReply {
        try await connection.call(call, on: channel)
    }

    /// Runs `body` with a channel; `nil` when there is no such queue.
    ///
    /// `body` counts the entries that it took and left untouched: the end of the channel puts them back, and they are
    /// waited for, so that whoever looks next sees them.
    private func withChannel<Result>(
        _ body: (RabbitConnection, UInt16, inout Int) async throws -> Result
    ) async throws -> Result? {
        let connection = try await hub.waitForConnection(until: .now.advanced(by: Self.timeout))
        do {
            let channel = try await connection.openChannel { _ in }
            var untouched = 0
            do {
                let result = try await body(connection, channel, &untouched)
                await connection.closeChannel(channel)
                try await waitForReturn(of: untouched, connection)
                return result
            } catch {
                await connection.closeChannel(channel)
                throw error
            }
        } catch let failure as AMQPFailure {
            if failure.kind == .channelClosed(AMQPFailure.notFound) { return nil }
            throw failure.busError(while: "reading \(queueName)")
        }
    }

    /// The broker puts entries back after it has closed their channel. Someone else may have taken them, so the wait is
    /// short.
    private func waitForReturn(of entries: Int, _ connection: RabbitConnection) async throws {
        guard entries > 0 else { return }
        let channel = try await connection.openChannel { _ in }
        for _ in 0..<50 where try await count(connection, channel) < entries {
            try await Task.sleep(for: .milliseconds(10))
        }
        await connection.closeChannel(channel)
    }
}

/// Stands in where a transport could not be made.
struct UnavailableDeadLetters: DeadLetterQueue {
    let problem: EventBusError?

    private var error: EventBusError { problem ?? EventBusError(.unavailable, "there is no transport") }

    func count() async throws -> Int { throw error }
    func entries(limit: Int) async throws -> [DeadLetter] { throw error }
    func replay(options: ReplayOptions, where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int {
        throw error
    }
    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int { throw error }
}
