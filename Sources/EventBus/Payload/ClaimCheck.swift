/// The rule that sends large payloads through a store, and only their names through the broker.
///
/// ```swift
/// var configuration = EventBusConfiguration()
/// configuration.claimCheck = ClaimCheck(store: InMemoryClaimCheckStore(), threshold: 1 << 20)
/// let bus = EventBus(transport: .inMemory(), configuration: configuration)
/// ```
///
/// The body is stored after all payload steps and publish middleware, so it is compressed and encrypted in the store too,
/// and an outbox contains it until the event is published. The content encoding `claim-check` is added to the event.
///
/// The receiver fetches the body before the event is decoded. While the store is unavailable, the events that need it are
/// deferred and count no attempt (``SubscriptionOptions/maximumDeferral``), and other events are handled. An event whose
/// body is missing, or is not the one that was stored, becomes a dead letter. Replies to requests are never stored.
///
/// The bodies of events that are published together are stored concurrently, in at most half of the time until their
/// deadline. An event whose body is not stored by then is left out with the code `.unavailable`, and the others are sent.
public struct ClaimCheck: Sendable {
    /// The name `claim-check` of the encoding.
    public static let contentEncoding = "claim-check"

    /// The store of the bodies.
    public var store: any ClaimCheckStore
    /// The maximum size of an encoded payload, in bytes, that is sent without the store. It is at least the size of a
    /// name, 64. Defaults to 256 KiB.
    public var threshold: Int
    /// The maximum time for which a body may take to arrive, above zero. Defaults to 30 s.
    public var timeout: Duration

    /// Creates a rule. Omitted values use the defaults.
    public init(
        store: any ClaimCheckStore,
        threshold: Int = 256 << 10,
        timeout: Duration = .seconds(30)
    ) {
        self.store = store
        self.threshold = threshold
        self.timeout = timeout
    }

    /// Returns an event with its stored body and without the encoding `claim-check`, or unchanged if it has none. Use it to
    /// read a dead letter.
    ///
    /// - Throws: ``EventBusError`` with code `.unavailable` if the store fails, or `.decodingFailed` if the body is
    ///   missing or not the one that was stored.
    public func redeemed(_ envelope: Envelope) async throws(EventBusError) -> Envelope {
        guard Self.isClaim(envelope) else { return envelope }
        return try await redeemed(envelope, clock: .continuous)
    }

    /// Returns a Boolean value indicating whether the payload is the name of a stored body.
    static func isClaim(_ envelope: Envelope) -> Bool {
        envelope.contentEncoding != nil
            && PayloadPipeline.names(in: envelope.contentEncoding).last == contentEncoding
    }

    /// Returns an event whose payload is a name with its stored body.
    ///
    /// - Parameter didAsk: A closure that is called after the store was asked, with a Boolean value indicating whether it
    ///   gave no answer in time.
    func redeemed(
        _ envelope: Envelope,
        clock: AnyClock,
        didAsk: (_ isSilent: Bool) -> Void = { _ in }
    ) async throws(EventBusError) -> Envelope {
        let event = "event \(envelope.id) of topic \(envelope.topic)"
        guard envelope.payload.count == ClaimCheckName.length,
            let name = ClaimCheckName(rawValue: String(decoding: envelope.payload, as: UTF8.self))
        else {
            throw EventBusError(
                .decodingFailed,
                "\(event) has the content encoding \(Self.contentEncoding), but its payload is no name of a stored body"
            )
        }
        guard let body = try await fetch(name, for: event, clock: clock, didAsk) else {
            throw EventBusError(
                .decodingFailed,
                "the body \(name) of \(event) is not in the store: it was removed, or the publisher uses another store"
            )
        }
        guard ClaimCheckName(of: body, event: envelope.id) == name else {
            throw EventBusError(
                .decodingFailed,
                "the body \(name) in the store is damaged, or is not that of \(event)"
            )
        }
        var redeemed = envelope
        redeemed.payload = body
        let rest = PayloadPipeline.names(in: envelope.contentEncoding).dropLast()
        redeemed.contentEncoding = rest.isEmpty ? nil : rest.joined(separator: ", ")
        return redeemed
    }

    private func fetch(
        _ name: ClaimCheckName,
        for event: String,
        clock: AnyClock,
        _ didAsk: (_ isSilent: Bool) -> Void
    ) async throws(EventBusError) -> [UInt8]? {
        let found: [UInt8]??
        do {
            found = try await withFirmDeadline(clock.now.advanced(by: timeout), clock: clock) { [store] in
                try await store.get(name)
            }
        } catch {
            // A cancelled call tells nothing about the store.
            if !(error is CancellationError) { didAsk(false) }
            throw EventBusError(
                .unavailable,
                "the store of the body of \(event) failed",
                underlying: error
            )
        }
        didAsk(found == nil)
        guard let found else {
            throw EventBusError(
                .unavailable,
                "the store of the body of \(event) did not answer within \(timeout)"
            )
        }
        return found
    }

    /// Returns a Boolean value indicating whether the body of the event is sent through the store.
    func stores(_ envelope: Envelope) -> Bool { envelope.payload.count > max(threshold, ClaimCheckName.length) }

    /// Stores the body of a large event by `deadline`, and replaces it by its name.
    func claim(_ envelope: inout Envelope, by deadline: AnyClock.Instant, clock: AnyClock)
        async throws
    {
        guard stores(envelope) else { return }
        let body = envelope.payload
        let name = ClaimCheckName(of: body, event: envelope.id)
        let isStored: Void?
        do {
            isStored = try await withFirmDeadline(deadline, clock: clock) { [store] in
                try await store.put(body, named: name)
            }
        } catch let error as EventBusError where error.code.isAboutTheEvent {
            throw error
        } catch {
            try Task.checkCancellation()
            throw EventBusError(
                .unavailable,
                "the body of event \(envelope.id) of topic \(envelope.topic) could not be stored; nothing was sent",
                underlying: error
            )
        }
        guard isStored != nil else {
            throw EventBusError(
                .unavailable,
                "the store of large bodies did not take the body of event \(envelope.id) of topic \(envelope.topic) in "
                    + "time; the event was not sent"
            )
        }
        envelope.payload = Array(name.rawValue.utf8)
        envelope.contentEncoding =
            envelope.contentEncoding.map { "\($0), \(Self.contentEncoding)" } ?? Self.contentEncoding
    }
}
