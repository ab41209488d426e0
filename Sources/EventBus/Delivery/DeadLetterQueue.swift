/// Where the dead letters of a group rest until someone looks at them.
///
/// Nothing leaves it by itself. Reading does not take: entries stay until they are replayed or discarded.
public protocol DeadLetterQueue: Sendable {
    /// How many dead letters there are.
    func count() async throws -> Int

    /// The oldest dead letters, at most `limit`.
    func entries(limit: Int) async throws -> [DeadLetter]

    /// Sends the dead letters for which `isIncluded` holds back to the queue of the subscription they came from, as a
    /// first attempt, and removes them once the broker holds the new copy. A crash in between duplicates.
    ///
    /// One that cannot be replayed, as when its queue is gone or was a broadcast's, stays and holds up no other.
    ///
    /// - Parameters:
    ///   - options: A dry run counts without sending; a rate bounds how many go out in a second.
    ///   - isIncluded: Which to replay.
    /// - Returns: How many were (or, in a dry run, would be) replayed.
    /// - Throws: ``EventBusError``, once all others were replayed, if some had to stay: it says how many went and why
    ///   those stay, with code `.notFound` or `.unroutable` where it is for want of a queue. What ends the round before
    ///   its end, such as `.unavailable`.
    func replay(
        options: ReplayOptions,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int

    /// Removes the dead letters for which `isIncluded` holds, for good.
    ///
    /// - Returns: How many were removed.
    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int
}

extension DeadLetterQueue {
    /// Replays every dead letter.
    public func replayAll(options: ReplayOptions = .init()) async throws -> Int {
        try await replay(options: options) { _ in true }
    }

    /// Replays the dead letters of the event with this id.
    public func replay(_ id: EventID, options: ReplayOptions = .init()) async throws -> Int {
        try await replay(options: options) { $0.envelope.id == id }
    }
}

/// The dead letters of a transport that keeps none.
struct EmptyDeadLetters: DeadLetterQueue {
    func count() async throws -> Int { 0 }
    func entries(limit: Int) async throws -> [DeadLetter] { [] }
    func replay(options: ReplayOptions, where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int { 0 }
    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int { 0 }
}

/// How dead letters are replayed.
public struct ReplayOptions: Hashable, Sendable {
    /// Whether to count only.
    public var dryRun: Bool
    /// At most how many to send each second; `nil` for no bound.
    public var maximumPerSecond: Int?

    /// Replays at once and without a bound unless stated.
    public init(dryRun: Bool = false, maximumPerSecond: Int? = nil) {
        self.dryRun = dryRun
        self.maximumPerSecond = maximumPerSecond
    }
}

/// A delivery that failed for good, with what is known of the failure.
public struct DeadLetter: Sendable {
    /// The event, its payload as it came, byte for byte.
    public var envelope: Envelope
    /// The group that could not handle it.
    public var group: String
    /// The queue it came from, `GROUP.NAME`.
    public var queue: String
    /// Why it is here.
    public var failure: Failure
    /// How many attempts were made.
    public var attempts: Int
    /// When the first attempt failed, if any was made.
    public var firstFailure: EventTime?
    /// When the last attempt failed or the delivery was given up.
    public var lastFailure: EventTime

    /// A dead letter; made by transports.
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
}
