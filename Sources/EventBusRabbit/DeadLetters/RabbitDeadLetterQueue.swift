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
    /// The limits of passes.
    private let limits: LetterReaderLimits

    private static let publishTimeout = Duration.seconds(30)
    /// The time for which a cancelled pass waits for the outcome of what it has sent.
    private static let grace = Duration.seconds(2)
    /// The number of letters that are sent together.
    private static let batchSize = 100

    /// Creates the dead letters of a group.
    init(group: String, tools: DeadLetterTools, limits: LetterReaderLimits = LetterReaderLimits()) {
        let decoder = DeadLetterDecoder(group: group, messages: MessageDecoder(events: tools.configuration.exchange))
        self.group = group
        self.tools = tools
        self.queueName = TopologyNames.deadLetterQueue(of: group)
        self.noun = "dead letters"
        self.limits = limits
        self.read = { decoder.read($0) }
    }

    /// Creates the delayed events whose queue was missing when they were due.
    init(unroutableDelaysWith tools: DeadLetterTools) {
        let decoder = DeadLetterDecoder(group: "", messages: MessageDecoder(events: tools.configuration.exchange))
        self.group = ""
        self.tools = tools
        self.queueName = TopologyNames.delayUnroutable
        self.noun = "delayed events"
        self.limits = LetterReaderLimits()
        self.read = { decoder.read(unroutable: $0) }
    }

    /// Creates the waiting events of a queue.
    init(waitingIn queue: String, tools: DeadLetterTools) {
        let decoder = DeadLetterDecoder(group: "", messages: MessageDecoder(events: tools.configuration.exchange))
        self.group = ""
        self.tools = tools
        self.queueName = queue
        self.noun = "events"
        self.limits = LetterReaderLimits()
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
            while letters.count < limit, let entry = try await next(&reader) {
                reader.keep(entry)
                if skipped < offset {
                    skipped += 1
                } else {
                    letters.append(read(entry.message).letter)
                }
            }
            return letters
        }.result.get() ?? []
    }

    func scan(_ body: @Sendable (DeadLetter) throws -> Bool) async throws {
        _ = try await passing { reader in
            while let entry = try await next(&reader) {
                reader.keep(entry)
                guard try body(read(entry.message).letter) else { return }
            }
        }.result.get()
    }

    func replay(
        options: ReplayOptions,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int {
        try await replay(options: options, until: { false }, where: isIncluded)
    }

    func replay(
        options: ReplayOptions,
        until isEnough: @escaping @Sendable () -> Bool,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int {
        try options.validate()
        var round = ReplayRound()
        // Held for at most a second if the rate is limited.
        let batchSize = options.maximumPerSecond.map { min(Self.batchSize, max(1, $0 / 10)) } ?? Self.batchSize
        let outcome = await passing(prefetch: options.dryRun ? 500 : 5 * batchSize) { reader in
            reader.isEnough = isEnough
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
                    case .failure(let error):
                        reader.keep(entry.delivery)
                        if let error = error as? EventBusError, ReplayRound.isOfEntry(error.code) {
                            round.note(error, of: entry.reading.letter)
                        } else {
                            failure = failure ?? error
                        }
                    }
                }
                if let failure { throw failure }
            }
        }
        try check(outcome, round.replayed, "replayed")
        try round.report("\(noun) of \(queueName)")
        return round.replayed
    }

    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int {
        try await discard(limit: nil, where: isIncluded)
    }

    func discard(limit: Int?, where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int {
        try await discard(limit: limit, until: { false }, where: isIncluded)
    }

    func discard(
        limit: Int?,
        until isEnough: @escaping @Sendable () -> Bool,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int {
        var discarded = 0
        let outcome = await passing { reader in
            reader.isEnough = isEnough
            while discarded < limit ?? .max, let entry = try await next(&reader) {
                if isIncluded(read(entry.message).letter) {
                    await reader.acknowledge(entry)
                    discarded += 1
                } else {
                    reader.keep(entry)
                }
            }
        }
        try check(outcome, discarded, "discarded")
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
                        try letter.envelope.validateForRestoring()
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
            throw stopped(error, added, "\(added) dead letters were added to \(queueName) before it stopped")
        }
        if let first {
            throw stopped(
                first,
                added,
                "\(added) dead letters were added to \(queueName), \(letters.count - added) were not"
            )
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
        while batch.count < min(size, (options.limit ?? .max) - round.replayed) {
            // Entries that have not arrived are not waited for while others can be sent.
            guard let delivery = batch.isEmpty ? try await next(&reader) : await reader.nextAtHand() else { break }
            let reading = read(delivery.message)
            guard isIncluded(reading.letter) else {
                reader.keep(delivery)
                continue
            }
            if options.dryRun {
                reader.keep(delivery)
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
        let deadline = MonotonicTime.now.advanced(by: Self.publishTimeout)
        let (sent, publisher) = (publishes, tools.publisher)
        // Whether the broker has them decides whether they stay, also if the task is cancelled meanwhile.
        let results = await withGrace(Self.grace) {
            await publisher.publish(sent, of: batch, outcome: .routed, deadline: deadline)
        }
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

    /// Throws if a pass ended early, or if entries that it handled may be in the queue again.
    private func check(_ outcome: LetterPass.Outcome<Void?>, _ done: Int, _ change: String) throws {
        let (progress, unverified) = ("\(done) \(noun) of \(queueName) were \(change)", outcome.unverified)
        let doubt = "\(unverified) of them may be in the queue again, because the connection was lost"
        switch outcome.result {
        case .success:
            guard unverified > 0 else { return }
            throw EventBusError(.indeterminate, "\(progress); \(doubt)").completing(done)
        case .failure(let error):
            throw stopped(error, done, progress + " before it stopped" + (unverified > 0 ? "; \(doubt)" : ""))
        }
    }

    /// Returns the error of a pass that ended early, with its progress.
    private func stopped(_ error: any Error, _ done: Int, _ progress: String) -> any Error {
        guard let error = error as? EventBusError else { return error }
        return EventBusError(error.code, "\(progress): \(error.message)", underlying: error).completing(done)
    }

    /// Returns the next entry, unless the transport ends.
    private func next(_ reader: inout LetterReader) async throws -> AMQPDelivery? {
        try tools.checkRunning()
        return try await reader.next()
    }

    /// Runs a pass through the entries. Its result is `nil` if there is no such queue.
    private func passing<Value: Sendable>(
        prefetch: Int = 500,
        _ body: (inout LetterReader) async throws -> Value
    ) async -> LetterPass.Outcome<Value?> {
        let outcome = await LetterPass(tools: tools, queue: queueName, limits: limits).run(prefetch: prefetch, body)
        let result: Result<Value?, any Error>
        do {
            result = .success(try await unlessMissing { try outcome.result.get() })
        } catch {
            result = .failure(error)
        }
        return LetterPass.Outcome(result: result, unverified: outcome.unverified)
    }

    /// Calls `body` with the tools' connection. Returns `nil` if there is no such queue.
    private func connected<Value: Sendable>(
        _ body: (RabbitConnection) async throws -> Value
    ) async throws -> Value? {
        try await unlessMissing { try await tools.withConnection(body) }
    }

    /// Returns the result of `body`, or `nil` if there is no such queue.
    private func unlessMissing<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value? {
        do {
            return try await body()
        } catch let failure as AMQPFailure {
            guard failure.kind == .channelClosed(AMQPFailure.notFound) else {
                throw failure.unrepeated(failure.busError(while: "reading \(queueName)"))
            }
            // The queue of one of our groups was deleted. That of another group never existed.
            if await tools.managers.serves(group) { _ = await tools.managers.declareAgain(failure.text) }
            return nil
        }
    }
}
