/// What carries envelopes between the instances of a system: an in-memory broker, or RabbitMQ.
///
/// Core owns policy, a transport owns mechanism: core decides that a delivery is retried in 400 ms, the transport knows
/// how to wait durably. The contract below is executable: `TransportConformance` in `EventBusTesting` checks it on any
/// transport.
///
/// What every transport promises:
///
/// - **Durability.** An envelope for which `publish` returned `.routed` or `.scheduled` reaches the queue of every
///   matching subscription, or that group's dead letters, whatever happens to connections and consumers in between.
/// - **At least once.** A delivery that was not settled when its consumer stopped, or its connection was lost, is
///   delivered again. A delivery settled on a lost connection is reported with code `.staleDelivery` and comes again.
/// - **One outcome.** Every call returns or throws by its deadline; none hangs on a dead peer.
/// - **No user code on I/O threads.** A transport hands deliveries to a ``DeliverySink``, which only stores them; it
///   awaits nothing of core or of the user on the thread that serves its connection.
public protocol Transport: Sendable {
    /// A short name for logs and health, such as `rabbitmq`.
    var name: String { get }

    /// The time by which this transport measures delays and deadlines; the bus uses the same one.
    var clock: AnyClock { get }

    /// The longest delay of a scheduled event that ``publish(_:options:)`` takes; a longer one is refused with code
    /// `.unsupported`. Defaults to ``TransportLimits/maximumDelay``.
    var maximumDelay: Duration { get }

    /// Connects, and keeps connected until the calling task is cancelled; then closes within a few seconds and returns.
    ///
    /// Every delivery that is not settled when it returns has gone back to its queue. A connection that is lost is
    /// made again, with a jittered backoff.
    ///
    /// - Throws: only what trying again cannot mend, such as a refused password.
    func run() async throws

    /// Sends one envelope and waits until the broker has taken responsibility for it.
    ///
    /// - Throws: ``EventBusError``: `.blocked`, `.tooLarge`, `.timedOut` (the broker holds nothing); `.rejected` (refused,
    ///   but some of the matching queues may hold it), `.indeterminate` (it was sent, the outcome is unknown);
    ///   `CancellationError` when cancelled before sending.
    func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome

    /// Sends many envelopes in order, as many at a time as the transport's window allows, with one result for each.
    func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>]

    /// Sends a request and waits for the reply to it, or for the deadline.
    ///
    /// - Throws: ``EventBusError``: `.unroutable` when no one responds to the topic, `.timedOut`, and what `publish`
    ///   throws.
    func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope

    /// Sends the reply to a request. Replies are sent once and not confirmed: the requester has a deadline.
    func reply(_ envelope: Envelope, to address: ReplyAddress) async throws

    /// Declares a subscription's queue and its bindings and begins to deliver to `sink`.
    ///
    /// Waits while there is no connection. Once it returned, the consumer is attached again after every reconnect by
    /// the transport itself.
    ///
    /// - Throws: what trying again cannot mend, such as `.topologyClash` or `.accessRefused`; `CancellationError`.
    func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer

    /// The dead letters of `group`.
    func deadLetters(of group: String) -> any DeadLetterQueue

    /// The delayed events of all groups that found no queue when their delay had passed.
    ///
    /// A scheduled event that no subscription matches when it is due is kept here, and so is a retry whose queue is gone.
    /// Health counts them as `unroutable_delays`. Replaying one routes it again; it stays while no subscription matches.
    /// Defaults to a queue that holds nothing.
    var unroutableDelays: any DeadLetterQueue { get }

    /// What works and what does not, for each component, without I/O.
    func health() -> [ComponentHealth]
}

extension Transport {
    /// No event.
    public var unroutableDelays: any DeadLetterQueue { EmptyDeadLetters() }

    /// ``TransportLimits/maximumDelay``.
    public var maximumDelay: Duration { TransportLimits.maximumDelay }

    /// Sends one envelope after another. A transport with a window sends them pipelined instead.
    public func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>] {
        var results: [Result<PublishOutcome, any Error>] = []
        results.reserveCapacity(envelopes.count)
        for envelope in envelopes {
            do {
                results.append(.success(try await publish(envelope, options: options)))
            } catch {
                results.append(.failure(error))
            }
        }
        return results
    }
}

/// How a transport is to send an envelope.
public struct TransportPublishOptions: Sendable {
    /// By when the call has to have an outcome.
    public var deadline: AnyClock.Instant
    /// How long the broker holds the event before it routes it; zero for at once.
    public var delay: Duration

    /// Options with this deadline and delay.
    public init(deadline: AnyClock.Instant, delay: Duration = .zero) {
        self.deadline = deadline
        self.delay = delay
    }
}

/// What became of a published event.
public enum PublishOutcome: Hashable, Sendable {
    /// The broker holds it in at least one subscription's queue.
    case routed
    /// The broker took it, but no subscription matches its topic: it is gone.
    case unroutable
    /// The broker holds it until its delay has passed, and routes it then.
    case scheduled
}

/// Where the reply to a request goes: opaque to all but the transport that made it.
public struct ReplyAddress: Hashable, Sendable {
    /// The transport's name for the requester.
    public var address: String
    /// What tells this request from the requester's others.
    public var requestID: String

    /// An address; made by transports only.
    public init(address: String, requestID: String) {
        self.address = address
        self.requestID = requestID
    }
}
