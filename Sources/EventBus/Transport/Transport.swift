/// A connection that carries envelopes between the instances of a system, through an in-memory broker or RabbitMQ.
///
/// The core decides, and a transport executes: the core decides that a delivery is retried in 400 ms, and the transport
/// waits durably. `TransportConformance` in `EventBusTesting` checks the following contract.
///
/// Every transport guarantees:
///
/// - **Durability.** An envelope for which `publish` returned `.routed` or `.scheduled` reaches the queue of every
///   matching subscription, or the dead letters of its group, even if connections and consumers are lost in between.
/// - **At least once.** A delivery that was not settled when its consumer stopped or its connection was lost is
///   redelivered. Settling a delivery of a lost connection throws `.staleDelivery`, and the delivery is redelivered.
/// - **One outcome.** Every call returns or throws by its deadline. None hangs on a dead peer.
/// - **No user code on I/O threads.** A transport hands deliveries to a ``DeliverySink``, which only stores them. On
///   the thread that serves its connection it awaits neither the core nor user code.
public protocol Transport: Sendable {
    /// A short name for logs and health reports, such as `rabbitmq`.
    var name: String { get }

    /// The clock with which this transport measures delays and deadlines. The bus uses the same one.
    var clock: AnyClock { get }

    /// The longest delay of a scheduled event that ``publish(_:options:)`` accepts. A longer one is refused with code
    /// `.unsupported`. Defaults to ``TransportLimits/maximumDelay``.
    var maximumDelay: Duration { get }

    /// The time after which the broker takes back the deliveries of a consumer that has not settled one of them, or `nil` if
    /// it never does. Defaults to ``TransportLimits/consumerTimeout``.
    ///
    /// A subscription whose handlers or retries may take longer is refused.
    var consumerTimeout: Duration? { get }

    /// Connects, and stays connected until the calling task is cancelled. Then it closes within a few seconds and
    /// returns.
    ///
    /// All unsettled deliveries have been returned to their queues when it returns. A lost connection is
    /// re-established, with a jittered backoff.
    ///
    /// - Throws: Only errors that a retry cannot fix, such as a refused password.
    func run() async throws

    /// Sends one envelope and waits until the broker has accepted responsibility for it.
    ///
    /// - Throws: ``EventBusError``: `.blocked`, `.tooLarge` or `.timedOut` if the broker does not have the event;
    ///   `.rejected` if it was refused, but some of the matching queues may have it; `.indeterminate` if it was sent
    ///   and the outcome is unknown. `CancellationError` if the task was cancelled before sending.
    func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome

    /// Sends many envelopes in order, with one result for each. The transport's window limits the number in flight.
    func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>]

    /// Sends a request and waits for its reply, or for the deadline.
    ///
    /// - Throws: ``EventBusError``: `.unroutable` if the topic has no responder, `.timedOut`, and the errors of
    ///   `publish`.
    func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope

    /// Sends the reply to a request. Replies are sent once and not confirmed, because the requester has a deadline.
    func reply(_ envelope: Envelope, to address: ReplyAddress) async throws

    /// Declares a subscription's queue and its bindings, and starts to deliver to `sink`.
    ///
    /// It waits while there is no connection. After it has returned, the transport attaches the consumer again after
    /// every reconnect.
    ///
    /// - Throws: Errors that a retry cannot fix, such as `.topologyClash` or `.accessRefused`; `CancellationError`.
    func attach(_ queue: QueueSpecification, to sink: any DeliverySink) async throws -> any TransportConsumer

    /// Returns the dead letters of `group`.
    func deadLetters(of group: String) -> any DeadLetterQueue

    /// The delayed events of all groups that matched no queue when they were due.
    ///
    /// A scheduled event that matches no subscription when it is due is kept here, and so is a retry whose queue no
    /// longer exists. Health reports count them as `unroutable_delays`. Replaying one routes it again. It is kept while
    /// no subscription matches. Defaults to an empty queue.
    var unroutableDelays: any DeadLetterQueue { get }

    /// Returns the health of each component, without I/O.
    func health() -> [ComponentHealth]
}

extension Transport {
    /// An empty queue.
    public var unroutableDelays: any DeadLetterQueue { EmptyDeadLetters() }

    /// The limit ``TransportLimits/maximumDelay``.
    public var maximumDelay: Duration { TransportLimits.maximumDelay }

    /// The timeout ``TransportLimits/consumerTimeout``.
    public var consumerTimeout: Duration? { TransportLimits.consumerTimeout }

    /// Sends one envelope after another. A transport with a window pipelines them instead.
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
