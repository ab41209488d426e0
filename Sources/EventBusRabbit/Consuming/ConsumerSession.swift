import ConnectionThread
import EventBus

/// The manager's state of one consumer. It is touched on the manager's thread only.
final class ConsumerSession {
    let consumer: RabbitConsumer
    /// A Boolean value indicating whether an error that a retry cannot fix ends the first attempts to attach.
    var endsOnRefusal: Bool
    var phase = Phase.detached
    /// A Boolean value indicating whether the connection has no channel for the consumer, which never had one.
    var isSurplus = false
    var tracker = AckTracker()
    var channel: UInt16 = 0
    var generation: UInt64 = 0
    /// The queue's name, which is new on each connection for a broadcast.
    var queueName = ""
    /// The name of a broadcast's queue on the current connection.
    var broadcastQueue: String?
    /// The maximum number of unsettled deliveries.
    var prefetch: Int
    /// A Boolean value indicating whether the queue is declared, but not consumed.
    var isSuspended = false
    var lastFailure: AMQPFailure?
    var sightingsWithoutConsumer = 0
    /// The number of consecutive answers of the broker that may not be answers.
    var sightingsWithoutAnswer = 0
    /// A Boolean value indicating whether the queue was deleted or moved and is not consumed again yet.
    var hasLostQueue = false
    /// The events that the consumer held when it lost its queue, while it is not known whether the queue was deleted.
    var undecided: [RabbitConsumer.Held] = []
    /// The events of a deleted queue that are sent to the new one.
    var orphans: [RabbitConsumer.Held] = []
    /// A Boolean value indicating whether consuming the queue may end the connection, so that it is tried on another
    /// one first.
    var isSuspect = false
    /// The number of consumers that may have crashed because of a redelivered event, if the queue has a crash record.
    var crashes = CrashCount.unknown
    /// The deliveries that wait until the crash record is read.
    var uncounted: [AMQPDelivery] = []
    /// The answer to the question whether the queue is a stream.
    var streamCheck = StreamCheck.unknown
    /// The deliveries that wait for this answer.
    var unchecked: [AMQPDelivery] = []
    /// The time of the latest event that was delivered for the first time, without a delay.
    var latestTime: EventTime?
    /// The deliveries that have not been handed to the subscription yet.
    var arrived: [Delivery] = []
    /// The caller that waits until the consumer is attached for the first time.
    var attachWaiter: CheckedContinuation<Result<Void, EventBusError>, Never>?
    /// The task that keeps the consumer attached, while it waits for an event or a deadline.
    var wakeUp: CheckedContinuation<Void, Never>?

    enum Phase: Equatable {
        /// There is no channel.
        case detached
        case attaching
        case attached
        /// The queue exists, and there is no channel, because the subscription is paused.
        case suspended
        /// The user wants no more deliveries. The channel stays open for settling.
        case stopped
        /// The user has closed the consumer.
        case closed
    }

    /// The state of the queue's crash record.
    enum CrashCount {
        /// It was not read on this channel, because no event was redelivered.
        case unknown
        case reading(Task<Void, Never>)
        /// It was read, and tells the number of crashes.
        case known(Int)
        /// It could not be read.
        case unavailable
        /// The service may not use it, or it does not exist.
        case forbidden
    }

    /// The knowledge whether a queue is a stream.
    enum StreamCheck {
        case unknown, asking, isQueue, isStream
    }

    init(_ consumer: RabbitConsumer, endsOnRefusal: Bool) {
        self.consumer = consumer
        self.endsOnRefusal = endsOnRefusal
        self.prefetch = consumer.specification.prefetch
    }

    /// A Boolean value indicating whether the queue was declared on the current connection.
    var hasQueue: Bool { phase == .attached || phase == .suspended }

    /// The time since the event of `latestTime` was published.
    var latestAge: Duration {
        guard let latestTime else { return .zero }
        let (age, overflow) = EventTime.now().milliseconds.subtractingReportingOverflow(latestTime.milliseconds)
        return overflow ? .zero : .milliseconds(max(0, age))
    }

    /// A Boolean value indicating whether the consumer should be attached.
    var isWanted: Bool { phase != .stopped && phase != .closed && streamCheck != .isStream }

    func wake() {
        let waiter = wakeUp
        wakeUp = nil
        waiter?.resume()
    }

    func resolveAttach(_ result: Result<Void, EventBusError>) {
        let waiter = attachWaiter
        attachWaiter = nil
        waiter?.resume(returning: result)
    }
}
