import Synchronization

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
    ///   - options: The options. A dry run counts without sending, a rate limits the number of events sent per second,
    ///     and a limit ends the replay after that many.
    ///   - isIncluded: A closure that selects the dead letters to replay.
    /// - Returns: The number of dead letters that were replayed, or would be in a dry run.
    /// - Throws: ``EventBusError`` after all others were replayed, if some could not be: the message contains the
    ///   number of replayed dead letters and the reasons for the others, with code `.notFound` or `.unroutable` if
    ///   queues are missing. Errors that end the replay early, such as `.unavailable`. The number is also in
    ///   ``EventBusError/completedCount``.
    func replay(
        options: ReplayOptions,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int

    /// Replays dead letters until `isEnough` returns `true`, for a round that can be interrupted: those in hand are
    /// replayed, and those after them are not read.
    ///
    /// The default implementation reads them all.
    ///
    /// - Parameters:
    ///   - options: How many dead letters are replayed, how fast and where to.
    ///   - isEnough: A closure that is called before each dead letter, and while none arrives.
    ///   - isIncluded: A closure that selects the dead letters.
    /// - Returns: The number of dead letters that were replayed, or would be in a dry run.
    /// - Throws: The errors of ``replay(options:where:)``.
    func replay(
        options: ReplayOptions,
        until isEnough: @escaping @Sendable () -> Bool,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int

    /// Permanently removes the dead letters for which `isIncluded` returns `true`.
    ///
    /// - Returns: The number of removed dead letters.
    func discard(where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int

    /// Permanently removes the oldest dead letters for which `isIncluded` returns `true`, at most `limit`, and does not read
    /// those after them. `nil` removes all.
    ///
    /// The default implementation reads them all.
    ///
    /// - Returns: The number of removed dead letters.
    func discard(limit: Int?, where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int

    /// Removes dead letters until `isEnough` returns `true`, for a round that can be interrupted. Those after that are not
    /// read.
    ///
    /// The default implementation reads them all.
    ///
    /// - Parameters:
    ///   - limit: The maximum number of dead letters to remove, or `nil` to remove all that are selected.
    ///   - isEnough: A closure that is called before each dead letter, and while none arrives.
    ///   - isIncluded: A closure that selects the dead letters.
    /// - Returns: The number of removed dead letters.
    func discard(
        limit: Int?,
        until isEnough: @escaping @Sendable () -> Bool,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int

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

    /// Removes dead letters, and leaves those after the limit.
    public func discard(limit: Int?, where isIncluded: @Sendable (DeadLetter) -> Bool) async throws -> Int {
        let left = Mutex(limit ?? .max)
        return try await discard { letter in
            guard isIncluded(letter) else { return false }
            return left.withLock { left in
                guard left > 0 else { return false }
                left -= 1
                return true
            }
        }
    }

    /// Replays dead letters, and reads those after the end without selecting them.
    public func replay(
        options: ReplayOptions,
        until isEnough: @escaping @Sendable () -> Bool,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int {
        try await replay(options: options) { !isEnough() && isIncluded($0) }
    }

    /// Removes dead letters, and reads those after the end without selecting them.
    public func discard(
        limit: Int?,
        until isEnough: @escaping @Sendable () -> Bool,
        where isIncluded: @Sendable (DeadLetter) -> Bool
    ) async throws -> Int {
        try await discard(limit: limit) { !isEnough() && isIncluded($0) }
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
