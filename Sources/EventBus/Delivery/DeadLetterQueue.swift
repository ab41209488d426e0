/// The dead letters of a group, which are kept until someone handles them.
///
/// ```swift
/// let letters = bus.deadLetters(of: "inventory")
/// for letter in try await letters.entries(limit: 10) { print(letter.queue, letter.failure.message) }
/// let replayed = try await letters.replayAll()
/// ```
///
/// Entries are never removed automatically. Reading does not remove them: they stay until they are replayed or
/// discarded.
public protocol DeadLetterQueue: Sendable {
    /// Returns the number of dead letters.
    func count() async throws -> Int

    /// Returns a page of the dead letters from the oldest on: at most `limit`, after the first `offset`.
    func entries(limit: Int, offset: Int) async throws -> [DeadLetter]

    /// Calls `body` with each dead letter from the oldest on, in one pass, until `body` returns `false` or throws.
    ///
    /// It reads any number of dead letters without holding them in memory. The default implementation reads them page
    /// by page.
    ///
    /// ```swift
    /// let counts = Mutex<[Failure.Reason: Int]>([:])
    /// try await bus.deadLetters(of: "inventory").scan { letter in
    ///     counts.withLock { $0[letter.failure.reason, default: 0] += 1 }
    ///     return true
    /// }
    /// ```
    func scan(_ body: @Sendable (DeadLetter) throws -> Bool) async throws

    /// Sends the dead letters for which `isIncluded` returns `true` back to the queue of their subscription as a first
    /// attempt, and removes each when the broker has accepted the new copy. A crash in between causes a duplicate.
    ///
    /// A dead letter that cannot be replayed, for example because its queue no longer exists or was that of a
    /// broadcast, is kept. It does not prevent the others from being replayed.
    ///
    /// - Parameters:
    ///   - options: The options. A dry run counts without sending, and a rate limits the number of events sent per
    ///     second.
    ///   - isIncluded: A closure that selects the dead letters to replay.
    /// - Returns: The number of dead letters that were replayed, or would be in a dry run.
    /// - Throws: ``EventBusError`` after all others were replayed, if some could not be: the message contains the
    ///   number of replayed dead letters and the reasons for the others, with code `.notFound` or `.unroutable` if
    ///   queues are missing. Errors that end the replay early, such as `.unavailable`.
    func replay(
        options: ReplayOptions,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int

    /// Permanently removes the dead letters for which `isIncluded` returns `true`.
    ///
    /// - Returns: The number of removed dead letters.
    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int

    /// Adds dead letters, such as those of a backup, as dead letters of this group.
    ///
    /// Each keeps its event, its queue and its failure. Properties of a foreign client's event that an ``Envelope``
    /// does not contain are not restored. The default implementation throws `.unsupported`.
    ///
    /// - Throws: ``EventBusError`` after all others were added, if some could not be: the message contains the number
    ///   of added dead letters and the first reason. Errors that end it early, such as `.unavailable`.
    func restore(_ letters: [DeadLetter]) async throws
}

extension DeadLetterQueue {
    /// Returns the oldest dead letters, at most `limit`.
    public func entries(limit: Int) async throws -> [DeadLetter] {
        try await entries(limit: limit, offset: 0)
    }

    /// Returns all dead letters from the oldest on. Read them in pages if they may not fit in memory.
    public func entries() async throws -> [DeadLetter] {
        try await entries(limit: .max, offset: 0)
    }

    /// Reads the dead letters page by page.
    public func scan(_ body: @Sendable (DeadLetter) throws -> Bool) async throws {
        var offset = 0
        while true {
            let page = try await entries(limit: 100, offset: offset)
            for letter in page where try !body(letter) { return }
            if page.isEmpty { return }
            offset += page.count
        }
    }

    /// Throws an error with code `.unsupported`.
    public func restore(_ letters: [DeadLetter]) async throws {
        throw EventBusError(.unsupported, "these dead letters cannot be added to")
    }

    /// Replays all dead letters, and returns their number.
    @discardableResult
    public func replayAll(options: ReplayOptions = .init()) async throws -> Int {
        try await replay(options: options) { _ in true }
    }

    /// Replays the dead letters of the event with this id, and returns their number.
    @discardableResult
    public func replay(_ id: EventID, options: ReplayOptions = .init()) async throws -> Int {
        try await replay(options: options) { $0.envelope.id == id }
    }
}

/// The dead letters of a transport that keeps none.
struct EmptyDeadLetters: DeadLetterQueue {
    func count() async throws -> Int { 0 }
    func entries(limit: Int, offset: Int) async throws -> [DeadLetter] { [] }
    func replay(options: ReplayOptions, where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int { 0 }
    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int { 0 }
}

/// The options for replaying dead letters.
///
/// ```swift
/// let count = try await bus.deadLetters(of: "inventory").replayAll(options: ReplayOptions(dryRun: true))
/// ```
public struct ReplayOptions: Hashable, Sendable {
    /// A Boolean value indicating whether dead letters are only counted. Defaults to `false`.
    public var dryRun: Bool
    /// The maximum number of dead letters sent per second, or `nil` for no limit. Defaults to `nil`.
    public var maximumPerSecond: Int?
    /// The queue to which dead letters are sent instead of that of their subscription, or `nil`. Defaults to `nil`.
    ///
    /// Use it for the dead letters of a subscription that has another name now. The other subscription must accept
    /// their topics, because it dead-letters every other event.
    public var queue: String?

    /// Creates options. Omitted values use the defaults.
    public init(dryRun: Bool = false, maximumPerSecond: Int? = nil, queue: String? = nil) {
        self.dryRun = dryRun
        self.maximumPerSecond = maximumPerSecond
        self.queue = queue
    }
}

/// A delivery that failed permanently, with information about the failure.
///
/// ```swift
/// for letter in try await bus.deadLetters(of: "inventory").entries(limit: 10) {
///     print(letter.envelope.topic, letter.failure.reason, letter.failure.message, letter.attempts)
///     if let order = try? letter.decoded(as: OrderCreated.self) { print(order.orderID) }
/// }
/// ```
public struct DeadLetter: Sendable {
    /// The event, with its payload byte for byte as it arrived.
    public var envelope: Envelope
    /// The group that could not handle the event.
    public var group: String
    /// The queue from which the event was dead-lettered, `GROUP.NAME`.
    public var queue: String
    /// The failure that made the event a dead letter.
    public var failure: Failure
    /// The number of attempts.
    public var attempts: Int
    /// The time at which the first attempt failed, or `nil` if there was none.
    public var firstFailure: EventTime?
    /// The time at which the last attempt failed or the delivery was given up.
    public var lastFailure: EventTime

    /// Creates a dead letter. It is called by transports only.
    public init(
        envelope: Envelope,
        group: String,
        queue: String,
        failure: Failure,
        attempts: Int,
        firstFailure: EventTime?,
        lastFailure: EventTime
    ) {
        self.envelope = envelope
        self.group = group
        self.queue = queue
        self.failure = failure
        self.attempts = attempts
        self.firstFailure = firstFailure
        self.lastFailure = lastFailure
    }

    /// Returns the event decoded as `type`.
    ///
    /// ```swift
    /// for letter in try await bus.deadLetters(of: "inventory").entries() {
    ///     print(try letter.decoded(as: OrderCreated.self).orderID)
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - type: The type of the event.
    ///   - codec: The codec of the payload. Defaults to plain JSON.
    ///   - payloadSteps: The steps that undo the payload's encodings. Defaults to none.
    /// - Throws: ``EventBusError`` with code `.decodingFailed`.
    public func decoded<Value: Decodable>(
        as type: Value.Type,
        codec: any EventCodec = JSONEventCodec(),
        payloadSteps: [any PayloadStep] = []
    ) throws(EventBusError) -> Value {
        try CodecRegistry(encoder: codec, others: [])
            .decode(type, from: PayloadPipeline(encoders: [], others: payloadSteps).decoded(envelope) ?? envelope)
    }
}
