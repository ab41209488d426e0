// The module and its main type have the same name, so `EventBus.Cache` would be looked up inside the type. With these
// aliases, users who have their own `Cache`, `Event` or `Transport` can say which one they mean.

/// An alias of ``Cache``.
public typealias EventBusCache = Cache
/// An alias of ``CacheOptions``.
public typealias EventBusCacheOptions = CacheOptions
/// An alias of ``CircuitBreaker``.
public typealias EventBusCircuitBreaker = CircuitBreaker
/// An alias of ``ComponentHealth``.
public typealias EventBusComponentHealth = ComponentHealth
/// An alias of ``CorrelationID``.
public typealias EventBusCorrelationID = CorrelationID
/// An alias of ``DeadLetter``.
public typealias EventBusDeadLetter = DeadLetter
/// An alias of ``DeadLetterQueue``.
public typealias EventBusDeadLetterQueue = DeadLetterQueue
/// An alias of ``Delivery``.
public typealias EventBusDelivery = Delivery
/// An alias of ``Disposition``.
public typealias EventBusDisposition = Disposition
/// An alias of ``DistributedLock``.
public typealias EventBusDistributedLock = DistributedLock
/// An alias of ``Envelope``.
public typealias EventBusEnvelope = Envelope
/// An alias of ``Event``.
public typealias EventBusEvent = Event
/// An alias of ``EventContext``.
public typealias EventBusEventContext = EventContext
/// An alias of ``EventHeaders``.
public typealias EventBusEventHeaders = EventHeaders
/// An alias of ``EventID``.
public typealias EventBusEventID = EventID
/// An alias of ``Failure``.
public typealias EventBusFailure = Failure
/// An alias of ``HealthReport``.
public typealias EventBusHealthReport = HealthReport
/// An alias of ``Inbox``.
public typealias EventBusInbox = Inbox
/// An alias of ``Lease``.
public typealias EventBusLease = Lease
/// An alias of ``NonRetryable``.
public typealias EventBusNonRetryable = NonRetryable
/// An alias of ``RateLimit``.
public typealias EventBusRateLimit = RateLimit
/// An alias of ``RateLimiter``.
public typealias EventBusRateLimiter = RateLimiter
/// An alias of ``ReceivedEvent``.
public typealias EventBusReceivedEvent = ReceivedEvent
/// An alias of ``RequestEvent``.
public typealias EventBusRequestEvent = RequestEvent
/// An alias of ``RetryPolicy``.
public typealias EventBusRetryPolicy = RetryPolicy
/// An alias of ``SharedLock``.
public typealias EventBusSharedLock = SharedLock
/// An alias of ``Subscription``.
public typealias EventBusSubscription = Subscription
/// An alias of ``Topic``.
public typealias EventBusTopic = Topic
/// An alias of ``Transport``.
public typealias EventBusTransport = Transport

extension EventBus {
    /// The protocol ``EventBusCache`` in the namespace of the bus.
    public typealias Cache = EventBusCache
    /// The type ``EventBusCacheOptions`` in the namespace of the bus.
    public typealias CacheOptions = EventBusCacheOptions
    /// The type ``EventBusCircuitBreaker`` in the namespace of the bus.
    public typealias CircuitBreaker = EventBusCircuitBreaker
    /// The type ``EventBusComponentHealth`` in the namespace of the bus.
    public typealias ComponentHealth = EventBusComponentHealth
    /// The type ``EventBusCorrelationID`` in the namespace of the bus.
    public typealias CorrelationID = EventBusCorrelationID
    /// The type ``EventBusDeadLetter`` in the namespace of the bus.
    public typealias DeadLetter = EventBusDeadLetter
    /// The protocol ``EventBusDeadLetterQueue`` in the namespace of the bus.
    public typealias DeadLetterQueue = EventBusDeadLetterQueue
    /// The type ``EventBusDelivery`` in the namespace of the bus.
    public typealias Delivery = EventBusDelivery
    /// The type ``EventBusDisposition`` in the namespace of the bus.
    public typealias Disposition = EventBusDisposition
    /// The protocol ``EventBusDistributedLock`` in the namespace of the bus.
    public typealias DistributedLock = EventBusDistributedLock
    /// The type ``EventBusEnvelope`` in the namespace of the bus.
    public typealias Envelope = EventBusEnvelope
    /// The protocol ``EventBusEvent`` in the namespace of the bus.
    public typealias Event = EventBusEvent
    /// The type ``EventBusEventContext`` in the namespace of the bus.
    public typealias EventContext = EventBusEventContext
    /// The type ``EventBusEventHeaders`` in the namespace of the bus.
    public typealias EventHeaders = EventBusEventHeaders
    /// The type ``EventBusEventID`` in the namespace of the bus.
    public typealias EventID = EventBusEventID
    /// The type ``EventBusFailure`` in the namespace of the bus.
    public typealias Failure = EventBusFailure
    /// The type ``EventBusHealthReport`` in the namespace of the bus.
    public typealias HealthReport = EventBusHealthReport
    /// The protocol ``EventBusInbox`` in the namespace of the bus.
    public typealias Inbox = EventBusInbox
    /// The type ``EventBusLease`` in the namespace of the bus.
    public typealias Lease = EventBusLease
    /// The protocol ``EventBusNonRetryable`` in the namespace of the bus.
    public typealias NonRetryable = EventBusNonRetryable
    /// The type ``EventBusRateLimit`` in the namespace of the bus.
    public typealias RateLimit = EventBusRateLimit
    /// The protocol ``EventBusRateLimiter`` in the namespace of the bus.
    public typealias RateLimiter = EventBusRateLimiter
    /// The type ``EventBusReceivedEvent`` in the namespace of the bus.
    public typealias ReceivedEvent = EventBusReceivedEvent
    /// The protocol ``EventBusRequestEvent`` in the namespace of the bus.
    public typealias RequestEvent = EventBusRequestEvent
    /// The type ``EventBusRetryPolicy`` in the namespace of the bus.
    public typealias RetryPolicy = EventBusRetryPolicy
    /// The protocol ``EventBusSharedLock`` in the namespace of the bus.
    public typealias SharedLock = EventBusSharedLock
    /// The type ``EventBusSubscription`` in the namespace of the bus.
    public typealias Subscription = EventBusSubscription
    /// The type ``EventBusTopic`` in the namespace of the bus.
    public typealias Topic = EventBusTopic
    /// The protocol ``EventBusTransport`` in the namespace of the bus.
    public typealias Transport = EventBusTransport
}
