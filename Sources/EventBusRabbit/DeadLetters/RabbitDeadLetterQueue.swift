import ConnectionThread
import EventBus

/// The dead letters of a group in its queue `GROUP.dead`, the delayed events that matched no queue, or the waiting events
/// of any other queue.
///
/// Reading takes entries without acknowledging them, on a separate connection. Closing its channel returns the
/// unacknowledged ones. While one reader holds them, another one sees fewer.
struct RabbitDeadLetterQueue: DeadLetterQueue {
    let group: String
    private let tools: DeadLetterTools
    /// The queue of the entries.
    private let queueName: String
    /// The plural noun for the entries.
    private let noun: String
    /// The decoder of an entry.
    private let read: @Sendable (AMQPMessage) -> DeadLetterDecoder.Reading

    private static let publishTimeout = Duration.seconds(30)
    /// The number of letters that are sent together.
    private static let batchSize = 100

    /// Creates the dead letters of a group.
    init(group: String, tools: DeadLetterTools) {
        let decoder = DeadLetterDecoder(group: group, messages: MessageDecoder(events: tools.configuration.exchange))
        self.group = group
        self.tools = tools
        self.queueName = TopologyNames.deadLetterQueue(of: group)
        self.noun = "dead letters"
        self.read = { decoder.read($0) }
    }

    /// Creates the delayed events whose queue was missing when they were due.
    init(unroutableDelaysWith tools: DeadLetterTools) {
        let decoder = DeadLetterDecoder(group: "", messages: MessageDecoder(events: tools.configuration.exchange))
        self.group = ""
        self.tools = tools
        self.queueName = TopologyNames.delayUnroutable
        self.noun = "delayed events"
        self.read = { decoder.read(unroutable: $0) }
    }

    /// Creates the waiting events of a queue.
    init(waitingIn queue: String, tools: DeadLetterTools) {
        let decoder = DeadLetterDecoder(group: "", messages: MessageDecoder(events: tools.configuration.exchange))
        self.group = ""
        self.tools = tools
        self.queueName = queue
        self.noun = "events"
        self.read = { decoder.read(waiting: $0, in: queue) }
    }

    func count() async throws -> Int {
        try await connected { connection in try await LetterReader.count(queueName, connection) } ?? 0
    }

    func entries(limit: Int, offset: Int) async throws -> [DeadLetter] {
        guard limit > 0, offset >= 0 else { return [] }
        return try await passing { reader in
            var letters: [DeadLetter] = []
            var skipped = 0
            while letters.count < limit, let entry = try await reader.next() {
                reader.keep()
                if skipped < offset {
                    skipped += 1
                } else {
                    letters.append(read(entry.message).letter)
                }
            }
            return letters
        } ?? []
    }

    func scan(_ body: @Sendable (DeadLetter) throws -> Bool) async throws {
        try await passing { reader in
            while let entry = try await reader.next() {
                reader.keep()
                guard try body(read(entry.message).letter) else { return }
            }
        }
    }

    func replay(
        options: ReplayOptions,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int {
        if let rate = options.maximumPerSecond, rate < 1 {
            throw EventBusError(.invalidConfiguration, "maximumPerSecond is \(rate); give at least 1, or nil")
        }
        var round = ReplayRound()
        // Held for at most a second if the rate is limited.
        let batchSize = options.maximumPerSecond.map { min(Self.batchSize, max(1, $0 / 10)) } ?? Self.batchSize
        do {
            try await passing(prefetch: options.dryRun ? 500 : 5 * batchSize) { reader in
                let clock = ContinuousClock()
                var nextSlot = clock.now
                while let batch = try await nextBatch(&reader, batchSize, options, &round, isIncluded) {
                    if let rate = options.maximumPerSecond {
                        try await clock.sleep(until: nextSlot)
                        nextSlot = max(nextSlot, clock.now - .seconds(1))
                            .advanced(by: .seconds(1) * batch.count / rate)
                    }
                    var failure: (any Error)?
                    for (entry, result) in zip(batch, await send(batch.map(\.reading), to: options.queue)) {
                        switch result {
                        case .success:
                            await reader.acknowledge(entry.delivery)
                            round.replayed += 1
                        case .failure(let error as EventBusError) where ReplayRound.isOfEntry(error.code):
                            reader.keep()
                            round.note(error, of: entry.reading.letter)
                        case .failure(let error):
                            // The others of the batch may be with their queues already.
                            reader.keep()
                            failure = failure ?? error
                        }
                    }
                    if let failure { throw failure }
                }
            }
        } catch {
            throw stopped(error, "\(round.replayed) \(noun) of \(queueName) were replayed before it stopped")
        }
        try round.report("\(noun) of \(queueName)")
        return round.replayed
    }

    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int {
        var discarded = 0
        do {
            try await passing { reader in
                while let entry = try await reader.next() {
                    if isIncluded(read(entry.message).letter) {
                        await reader.acknowledge(entry)
                        discarded += 1
                    } else {
                        reader.keep()
                    }
                }
            }
        } catch {
            throw stopped(error, "\(discarded) \(noun) of \(queueName) were discarded before it stopped")
        }
        return discarded
    }

    func restore(_ letters: [DeadLetter]) async throws {
        guard !group.isEmpty else {
            throw EventBusError(.unsupported, "\(noun) cannot be restored; publish them again")
        }
        var (added, first): (Int, EventBusError?) = (0, nil)
        do {
            _ = try await connected { _ in
                for start in stride(from: 0, to: letters.count, by: Self.batchSize) {
                    let batch = letters[start..<min(start + Self.batchSize, letters.count)]
                    let results = await send(Array(batch)) { letter throws(EventBusError) in
                        try letter.envelope.validate()
                        return AMQPPublish(letter, of: group, events: tools.configuration.exchange)
                    } unroutable: { _ in
                        "the group \(group) has no queue \(queueName); start a service with the group first"
                    }
                    var failure: (any Error)?
                    for result in results {
                        switch result {
                        case .success: added += 1
                        case .failure(let error as EventBusError) where ReplayRound.isOfEntry(error.code):
                            first = first ?? error
                        case .failure(let error): failure = failure ?? error
                        }
                    }
                    if let failure { throw failure }
                }
            }
        } catch {
            throw stopped(error, "\(added) dead letters were added to \(queueName) before it stopped")
        }
        if let first {
            throw stopped(first, "\(added) dead letters were added to \(queueName), \(letters.count - added) were not")
        }
    }

    // MARK: Steps

    private struct Entry {
        var delivery: AMQPDelivery
        var reading: DeadLetterDecoder.Reading
    }

    /// Returns the next letters to replay, or `nil` at the end. In a dry run they are only counted.
    private func nextBatch(
        _ reader: inout LetterReader,
        _ size: Int,
        _ options: ReplayOptions,
        _ round: inout ReplayRound,
        _ isIncluded: (DeadLetter) -> Bool
    ) async throws -> [Entry]? {
        var batch: [Entry] = []
        while batch.count < size {
            // Entries that have not arrived are not waited for while others can be sent.
            guard let delivery = batch.isEmpty ? try await reader.next() : reader.nextAtHand() else { break }
            let reading = read(delivery.message)
            guard isIncluded(reading.letter) else {
                reader.keep()
                continue
            }
            if options.dryRun {
                reader.keep()
                round.replayed += 1
                continue
            }
            batch.append(Entry(delivery: delivery, reading: reading))
        }
        return batch.isEmpty ? nil : batch
    }

    /// Sends dead letters back to their queues, or to another one, as first attempts.
    private func send(
        _ readings: [DeadLetterDecoder.Reading],
        to queue: String?
    ) async -> [Result<Void, any Error>] {
        await send(readings) { reading throws(EventBusError) in
            try publish(reading, to: queue)
        } unroutable: { reading in
            "the queue \((queue ?? reading.letter.queue).quotedForError) is gone, or belongs to a broadcast; attach its "
                + "subscription first, or publish the event again"
        }
    }

    /// Publishes one event for each item.
    ///
    /// - Parameters:
    ///   - items: The items.
    ///   - make: A closure that returns the event to publish for an item.
    ///   - unroutable: A closure that describes the problem if the event matched no queue.
    private func send<Item>(
        _ items: [Item],
        make: (Item) throws(EventBusError) -> AMQPPublish,
        unroutable: (Item) -> String
    ) async -> [Result<Void, any Error>] {
        let batch = PublishBatchPromise(count: items.count)
        var publishes: [(index: Int, publish: AMQPPublish)] = []
        for (index, item) in items.enumerated() {
            do {
                publishes.append((index, try make(item)))
            } catch {
                batch.resolve(index, .failure(error))
            }
        }
        let results = await tools.publisher.publish(
            publishes,
            of: batch,
            outcome: .routed,
            deadline: .now.advanced(by: Self.publishTimeout)
        )
        return zip(items, results).map { item, result in
            result.flatMap { outcome in
                guard outcome == .unroutable else { return .success(()) }
                return .failure(EventBusError(.unroutable, unroutable(item)))
            }
        }
    }

    /// Returns the event to publish for a dead letter.
    private func publish(
        _ reading: DeadLetterDecoder.Reading,
        to queue: String?
    ) throws(EventBusError) -> AMQPPublish {
        let (letter, message) = (reading.letter, reading.original)
        guard queue != queueName, queue != nil || !reading.isWaiting else {
            throw EventBusError(
                .invalidConfiguration,
                "the \(noun) are in \(queueName) already; name another queue"
            )
        }
        guard queue != nil || !letter.queue.isEmpty || reading.scheduledKey != nil else {
            throw EventBusError(.notFound, "the dead letter \(letter.envelope.id) does not say which queue it is from")
        }
        // A letter can be forged if others may write to the dead letters, and must not reach another service.
        guard queue != nil || group.isEmpty || (isOfGroup(letter.queue) && letter.queue != queueName) else {
            throw EventBusError(
                .unsupported,
                "the dead letter \(letter.envelope.id) is from \(letter.queue.quotedForError), which is no queue of the "
                    + "group \(group); discard it, or move it with the broker's tools"
            )
        }
        // Its publisher may write to the delay levels, but perhaps not to this queue.
        guard !reading.isMisrouted else {
            throw EventBusError(
                .unsupported,
                "the dead letter \(letter.envelope.id) came through the delay levels with a routing key that leads to "
                    + "another queue; discard it, or move it with the broker's tools"
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
        if queue == nil, let key = reading.scheduledKey {
            // To the subscriptions that match it now. Without any it is kept once more.
            return AMQPPublish(
                exchange: TopologyNames.delayExit,
                routingKey: key,
                properties: properties,
                body: message.body
            )
        }
        return AMQPPublish(
            exchange: "",
            routingKey: queue ?? letter.queue,
            properties: properties,
            body: message.body
        )
    }

    /// Returns a Boolean value indicating whether a queue belongs to a subscription of the group.
    private func isOfGroup(_ queue: String) -> Bool {
        queue.beginsWithBytes(of: group + ".")
            || tools.configuration.queues.contains { $0.value.name == queue && $0.key.beginsWithBytes(of: group + ".") }
    }

    /// Returns the error of a pass that ended early, with its progress.
    private func stopped(_ error: any Error, _ progress: String) -> any Error {
        guard let error = error as? EventBusError else { return error }
        return EventBusError(error.code, "\(progress): \(error.message)", underlying: error)
    }

    /// Runs a pass through the entries. Returns `nil` if there is no such queue.
    @discardableResult
    private func passing<Value: Sendable>(
        prefetch: Int = 500,
        _ body: (inout LetterReader) async throws -> Value
    ) async throws -> Value? {
        try await connected { connection in
            var reader = try await LetterReader(connection, queue: queueName, prefetch: prefetch)
            do {
                let value = try await body(&reader)
                await reader.close()
                return value
            } catch {
                await reader.close()
                throw error
            }
        }
    }

    /// Calls `body` with the tools' connection. Returns `nil` if there is no such queue.
    private func connected<Value: Sendable>(
        _ body: (RabbitConnection) async throws -> Value
    ) async throws -> Value? {
        do {
            return try await tools.withConnection(body)
        } catch let failure as AMQPFailure {
            guard failure.kind == .channelClosed(AMQPFailure.notFound) else {
                throw failure.busError(while: "reading \(queueName)")
            }
            // The queue of one of our groups was deleted. That of another group never existed.
            if await tools.managers.serves(group) { _ = await tools.managers.declareAgain(failure.text) }
            return nil
        }
    }
}
