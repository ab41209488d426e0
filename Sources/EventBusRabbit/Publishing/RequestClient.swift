import ConnectionThread
import EventBus

/// A client that sends requests and passes their replies to the waiting callers.
///
/// Replies arrive on the channel that sent the requests, by the broker's direct reply-to: a pseudo-queue that costs
/// nothing and ends with the channel. A request is sent once. Its responder may have started, so a request without a
/// reply has an unknown outcome when the channel ends.
actor RequestClient {
    private struct Request {
        var publish: AMQPPublish
        var continuation: CheckedContinuation<AMQPMessage, any Error>
        var wasSent = false
        /// A Boolean value indicating whether it must not be sent again, even if the broker certainly did not accept
        /// it.
        var wasRepeated = false
        var timer: TimerID?
    }

    static let replyQueue = "amq.rabbitmq.reply-to"

    private let thread: ConnectionThread
    private var requests: [String: Request] = [:]
    /// The requests to send, in order.
    private var waiting: [String] = []
    private var connection: RabbitConnection?
    private var channel: UInt16 = 0
    private var isBlocked = false
    private var ended: EventBusError?
    private var lastFailure: AMQPFailure?
    private var detachWaiters: [CheckedContinuation<Void, Never>] = []

    init(thread: ConnectionThread) {
        self.thread = thread
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// Sends a request and waits for its reply. The request's correlation id is unique.
    func request(_ publish: AMQPPublish, id: String, deadline: MonotonicTime) async throws -> AMQPMessage {
        if let ended { throw ended }
        try Task.checkCancellation()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let timer = thread.schedule(at: deadline) { [weak self] in
                    self?.assumeIsolated { $0.expire(id) }
                }
                // Requests that were given up leave their entries in the queue.
                if waiting.count > 64, waiting.count > 2 * requests.count { waiting.removeAll { requests[$0] == nil } }
                requests[id] = Request(publish: publish, continuation: continuation, timer: timer)
                waiting.append(id)
                sendWaiting()
                if Task.isCancelled { cancel(id) }
            }
        } onCancel: {
            thread.execute { [weak self] in self?.assumeIsolated { $0.cancel(id) } }
        }
    }

    func attach(to connection: RabbitConnection) async throws(AMQPFailure) {
        let channel = try await connection.openChannel { [weak self] event in
            self?.assumeIsolated { $0.handle(event) }
        }
        try await connection.call(
            .basicConsume(queue: Self.replyQueue, tag: "replies", isAutoAcknowledged: true),
            on: channel
        )
        let state = connection.state(of: channel)
        guard state.isUsable else { throw AMQPFailure(.channelClosed(0), "the channel was closed as it was opened") }
        self.connection = connection
        self.channel = channel
        isBlocked = state.isBlocked
        sendWaiting()
    }

    var isAttached: Bool { connection != nil }

    private func detach(_ failure: AMQPFailure) {
        lastFailure = failure
        guard connection != nil else { return }
        connection = nil
        if !failure.isChannelOnly { isBlocked = false }
        if let refusal = PublishRefusal(failure) { refuse(refusal) }
        for (id, request) in requests where request.wasSent { resolve(id, .failure(indeterminate(failure))) }
        waiting.removeAll { requests[$0] == nil }
        let waiters = detachWaiters
        detachWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    private func indeterminate(_ failure: AMQPFailure) -> EventBusError {
        EventBusError(
            .indeterminate,
            "the connection ended after the request was sent: whether it was handled is unknown; ask again if handling "
                + "it twice does no harm",
            underlying: failure
        )
    }

    /// Gives up the request for which the broker closed the channel, so that it does not close the next one too.
    private func refuse(_ refusal: PublishRefusal) {
        if let limit = refusal.sizeLimit {
            for (id, request) in requests where request.publish.body.count > limit {
                resolve(id, .failure(refusal.tooLarge))
            }
            return
        }
        func isConcerned(_ request: Request) -> Bool {
            refusal.isOfRoute ? refusal.concerns(request.publish) : request.wasSent
        }
        // The broker does not say which request it meant. If only one is possible, that one was not accepted.
        let sent = requests.filter { $0.value.wasSent && isConcerned($0.value) }
        if let (id, request) = sent.first, sent.count == 1 {
            if refusal.isRetriable, !request.wasRepeated {
                // Missing objects are declared before the next channel.
                requests[id]?.wasSent = false
                requests[id]?.wasRepeated = true
                waiting.insert(id, at: 0)
            } else {
                resolve(id, .failure(refusal.busError))
            }
        }
        guard refusal.isOfRoute, !refusal.isRetriable else { return }
        for (id, request) in requests where !request.wasSent && isConcerned(request) {
            resolve(id, .failure(refusal.busError))
        }
    }

    /// Waits until the publisher has no channel.
    func waitUntilDetached() async {
        guard connection != nil else { return }
        await withCheckedContinuation { detachWaiters.append($0) }
    }

    func setBlocked(_ isBlocked: Bool) {
        self.isBlocked = isBlocked
        sendWaiting()
    }

    func becameWritable() {
        sendWaiting()
    }

    /// Records the reason why there is no connection.
    func note(_ failure: AMQPFailure) {
        if connection == nil { lastFailure = failure }
    }

    func end(_ error: EventBusError) {
        ended = error
        connection = nil
        waiting = []
        for id in Array(requests.keys) { resolve(id, .failure(error)) }
    }

    private func sendWaiting() {
        guard let connection, !isBlocked else { return }
        var sent = 0
        sending: for id in waiting {
            if let request = requests[id] {
                let channel = channel
                switch connection.assumeIsolated({ $0.publish(request.publish, on: channel) }) {
                case .noRoom: break sending
                case .unsendable(let problem): resolve(id, .failure(problem.busError))
                case .sent: requests[id]?.wasSent = true
                }
                // The send may have ended the connection and queued all unanswered requests again.
                if self.connection == nil { return }
            }
            sent += 1
        }
        waiting.removeFirst(sent)
    }

    private func handle(_ event: ChannelEvent) {
        switch event {
        case .delivered(let delivery):
            guard let id = delivery.message.properties.correlationID else { return }
            if let size = delivery.message.refusedSize {
                resolve(id, .failure(EventBusError(.tooLarge, "the reply has \(size) bytes, more than are accepted")))
            } else {
                resolve(id, .success(delivery.message))
            }
        case .returned(let message, _, _):
            guard let id = message.properties.correlationID else { return }
            let topic = message.routingKey.quotedForError
            resolve(id, .failure(EventBusError(.unroutable, "no one responds to requests of topic \(topic)")))
        case .closed(let failure):
            detach(failure)
        case .confirmed, .unreadable, .consumerCancelled:
            break
        }
    }

    private func expire(_ id: String) {
        guard let request = requests[id] else { return }
        let error =
            if request.wasSent {
                EventBusError(.timedOut, "the request was not answered in time")
            } else if isBlocked {
                EventBusError(.blocked, "the broker takes no events at present: it is low on memory or disk")
            } else {
                EventBusError(
                    .unavailable,
                    "the deadline passed before the request was sent: there was no connection"
                        + (lastFailure.map { " (\($0))" } ?? ""),
                    underlying: lastFailure
                )
            }
        resolve(id, .failure(error))
    }

    private func cancel(_ id: String) {
        resolve(id, .failure(CancellationError()))
    }

    private func resolve(_ id: String, _ result: Result<AMQPMessage, any Error>) {
        guard let request = requests.removeValue(forKey: id) else { return }
        if let timer = request.timer { thread.cancel(timer) }
        request.continuation.resume(with: result)
    }
}
