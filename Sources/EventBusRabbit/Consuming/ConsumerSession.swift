import ConnectionThread
import EventBus

/// What the hub knows of one consumer. Touched on the hub's thread only.
final class ConsumerSession {
    let consumer: RabbitConsumer
    var phase = Phase.detached
    var ledger = AckLedger()
    var channel: UInt16 = 0
    var generation: UInt64 = 0
    /// The queue's name, which a broadcast has anew on each channel.
    var queueName = ""
    var lastFailure: AMQPFailure?
    var sightingsWithoutConsumer = 0
    /// How often in a row the broker gave an answer that may be none.
    var sightingsWithoutAnswer = 0
    /// Whether the queue was deleted, and is not consumed again yet.
    var hasLostQueue = false
    /// Whether consuming the queue may end the connection: it is tried on another one first.
    var isSuspect = false
    /// What has come and was not handed to the subscription yet.
    var arrived: [Delivery] = []
    /// Whoever waits for the first time that the consumer is attached.
    var attachWaiter: CheckedContinuation<Result<Void, EventBusError>, Never>?
    /// The task that keeps the consumer attached waits here, until something happens or a time has passed.
    var wakeUp: CheckedContinuation<Void, Never>?

    enum Phase: Equatable {
        /// There is no channel.
        case detached
        case attaching
        case attached
        /// The user wants no more deliveries; the channel stays for settling.
        case stopped
        /// The user is done with it.
        case closed
    }

    init(_ consumer: RabbitConsumer) {
        self.consumer = consumer
    }

    /// Whether the consumer is to be attached when it is not.
    var isWanted: Bool { phase != .stopped && phase != .closed }

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
