import ConnectionThread
import DequeModule
import EventBus
import Glibc

/// One connection to the broker, from its login to its end.
///
/// It is an actor on its own I/O thread, and only that thread touches the handle. After the login nothing waits for the
/// broker. Methods are sent while the socket has room. Every received frame passes one dispatcher, which resolves
/// waiting calls with replies and passes everything else to the channel's handler. Handlers run on the thread and only
/// store.
actor RabbitConnection {
    typealias CallCompletion = (Result<AMQPReply, AMQPFailure>) -> Void

    /// The number of frames that are read before other work of the thread gets its turn.
    static let framesPerTurn = 512
    /// The number of bytes that are sent between checks for room, well below the capacity of a writable socket.
    static let bytesPerCheck = 16 << 10
    /// The maximum part of a body that is sent at once, for the same reason.
    static let bytesPerFrame = 32 << 10

    /// A channel. It is a class, because every frame looks up its channel, which should be a reference and not a copy.
    final class Channel {
        /// The number of channels that were opened before. A channel's number is used again.
        let id: UInt64
        var assembler: ChannelAssembler
        let onEvent: @Sendable (ChannelEvent) -> Void
        var calls = Deque<PendingCall>()
        var isClosing = false
        /// A Boolean value indicating whether the broker closed the channel while we did. Its number is in use until the
        /// broker has answered our close, because the answer would be taken for that to the next channel's first call.
        var awaitsCloseOK = false

        init(id: UInt64, assembler: ChannelAssembler, onEvent: @escaping @Sendable (ChannelEvent) -> Void) {
            self.id = id
            self.assembler = assembler
            self.onEvent = onEvent
        }
    }

    struct PendingCall {
        var deadline: MonotonicTime
        var complete: CallCompletion
    }

    enum Outgoing {
        case call(AMQPCall, channel: UInt16)
        case acknowledge(UInt64, multiple: Bool, channel: UInt16)
        case requeue(UInt64, channel: UInt16)
        case reject(UInt64, channel: UInt16)
        case channelCloseOK(UInt16)
        case connectionClose
    }

    /// A body that is sent frame by frame.
    struct PartialBody {
        var channel: UInt16
        var body: [UInt8]
        var offset: Int
    }

    /// The number of bytes that wait to be read, and the time since when it has not grown.
    struct PausedReading {
        var waiting: Int32
        var since: MonotonicTime
    }

    nonisolated let thread: ConnectionThread
    /// The number of the connection, which grows with every connection of the transport.
    nonisolated let number: UInt64
    let callTimeout: Duration
    let maximumBodySize: Int
    let watch: SendTimeoutMonitor
    let sendTimeout: SendTimeout
    let descriptor: Int32
    let alwaysDrains: Bool
    let onEvent: @Sendable (ConnectionEvent) -> Void
    /// The negotiated maximum size of a frame.
    nonisolated let frameMaximum: Int
    /// The broker's release, such as `3.10.8`, or an empty text if it did not tell.
    nonisolated let brokerVersion: String
    /// The broker's major version, or 0 if it did not tell.
    nonisolated var brokerMajorVersion: Int { Int(brokerVersion.prefix { $0 != "." }) ?? 0 }

    var handle: AMQPHandle?
    var socketWatch: ConnectionThread.WatchID?
    var pump: TimerID?
    var continuation: TimerID?
    var channels: [UInt16: Channel] = [:]
    private var openedChannels: UInt64 = 0
    var outbox = Deque<Outgoing>()
    var partial: PartialBody?
    var credit = 0
    var isWritable = true
    /// The last time at which the socket had room.
    var lastRoom = MonotonicTime.now
    /// The unread data of the peer while reading is paused because there is no room to send.
    var pausedReading: PausedReading?
    var wantsWritable = false
    /// A Boolean value indicating whether the broker currently accepts no events.
    var isBlocked = false
    var closed: AMQPFailure?
    var closeWaiters: [CheckedContinuation<AMQPFailure, Never>] = []

    /// Creates a connection from a handle that has logged in.
    init(
        handle: AMQPHandle,
        number: UInt64,
        thread: ConnectionThread,
        watch: SendTimeoutMonitor,
        isTLS: Bool,
        maximumBodySize: Int,
        callTimeout: Duration,
        onEvent: @escaping @Sendable (ConnectionEvent) -> Void
    ) throws(AMQPFailure) {
        let descriptor = fcntl(handle.descriptor, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else {
            throw AMQPFailure(.connectFailed, "no descriptor: \(String(errorNumber: errno))")
        }
        self.handle = handle
        self.number = number
        self.thread = thread
        self.watch = watch
        self.sendTimeout = SendTimeout(takingOver: descriptor)
        self.descriptor = descriptor
        self.alwaysDrains = isTLS
        self.maximumBodySize = maximumBodySize
        self.callTimeout = callTimeout
        self.onEvent = onEvent
        self.frameMaximum = handle.frameMaximum
        self.brokerVersion = handle.brokerVersion
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    isolated deinit {
        end(AMQPFailure(.closedByUs, "dropped"))
    }

    /// Starts to serve the socket.
    func start() {
        guard let handle, socketWatch == nil else { return }
        watch.add(sendTimeout)
        socketWatch = thread.watch(descriptor, for: .readable) { [weak self] events in
            self?.assumeIsolated { $0.ready(events) }
        }
        let interval = handle.heartbeat > 0 ? Duration.seconds(handle.heartbeat) / 4 : .seconds(1)
        schedulePump(every: min(interval, .seconds(1)))
        // The login may have read more than its own frames.
        read()
    }

    // MARK: Closing

    /// Waits until the connection has ended, and returns the reason.
    func waitUntilClosed() async -> AMQPFailure {
        if let closed { return closed }
        return await withCheckedContinuation { closeWaiters.append($0) }
    }

    var isOpen: Bool { closed == nil }

    /// A Boolean value indicating whether the connection is open. It is read on the thread, so that nothing can happen
    /// between reading and using it.
    nonisolated var isOpenOnThread: Bool { assumeIsolated { $0.isOpen } }

    /// Closes the connection regularly within `timeout`.
    ///
    /// The close waits for its turn like everything else, so a broker that accepts nothing does not block the thread.
    func close(timeout: Duration = .seconds(1)) async {
        guard closed == nil else { return }
        thread.schedule(at: .now.advanced(by: timeout)) { [weak self] in
            self?.assumeIsolated { $0.end(AMQPFailure(.closedByUs, "the broker did not answer the goodbye")) }
        }
        post(.connectionClose)
        _ = await waitUntilClosed()
    }

    /// Ends the connection immediately.
    func abort(_ reason: String) {
        end(AMQPFailure(.connectionLost, reason))
    }

    func end(_ failure: AMQPFailure) {
        guard closed == nil else { return }
        closed = failure
        if let socketWatch { thread.unwatch(socketWatch) }
        if let pump { thread.cancel(pump) }
        if let continuation { thread.cancel(continuation) }
        watch.remove(sendTimeout)
        sendTimeout.close()
        handle = nil
        outbox = []
        partial = nil
        let channels = channels.values
        self.channels = [:]
        for channel in channels {
            for call in channel.calls { call.complete(.failure(failure)) }
            channel.onEvent(.closed(failure))
        }
        let waiters = closeWaiters
        closeWaiters = []
        for waiter in waiters { waiter.resume(returning: failure) }
    }

    // MARK: Channels and calls

    /// The number of channels that the broker grants, or zero if the connection has ended.
    var channelMaximum: Int { handle.map { Int($0.channelMaximum) } ?? 0 }

    /// Opens a channel whose events are passed to `onEvent`, on the connection's thread.
    func openChannel(_ onEvent: @escaping @Sendable (ChannelEvent) -> Void) async throws(AMQPFailure) -> UInt16 {
        guard let handle else { throw closed ?? AMQPFailure(.closedByUs, "closed") }
        let maximum = handle.channelMaximum
        guard channels.count < Int(maximum) else {
            throw AMQPFailure(.channelClosed(0), "all \(maximum) channels that the broker grants are in use")
        }
        // The lowest free number, because the library allocates memory for every number ever used, and visits it for
        // each frame.
        var number: UInt16 = 1
        while channels[number] != nil { number += 1 }
        openedChannels += 1
        channels[number] = Channel(
            id: openedChannels,
            assembler: ChannelAssembler(maximumBodySize: maximumBodySize),
            onEvent: onEvent
        )
        _ = try await call(.channelOpen, on: number)
        return number
    }

    /// Returns whether a channel is open, and whether the broker accepts no events. It is read on the thread, so that
    /// nothing can happen between reading and using it.
    nonisolated func state(of channel: UInt16) -> (isUsable: Bool, isBlocked: Bool) {
        assumeIsolated { ($0.channels[channel]?.isClosing == false, $0.isBlocked) }
    }

    /// Closes a channel. Its unsettled deliveries return to their queue. Returns `false` if the broker did not confirm
    /// it, because the channel or the connection has ended otherwise.
    @discardableResult
    func closeChannel(_ number: UInt16) async -> Bool {
        guard let channel = channels[number], !channel.isClosing else { return false }
        let id = channel.id
        let reply = try? await call(.channelClose, on: number)
        release(id, number)
        return reply != nil
    }

    /// Closes a channel without waiting.
    func closeChannelWithoutWaiting(_ number: UInt16) {
        guard let channel = channels[number], !channel.isClosing else { return }
        begin(.channelClose, on: number) { [weak self, id = channel.id] _ in
            self?.assumeIsolated { $0.release(id, number) }
        }
    }

    /// Makes the number of a closed channel available, unless it is that of a later channel already.
    private func release(_ id: UInt64, _ number: UInt16) {
        if let channel = channels[number], channel.id == id, !channel.awaitsCloseOK { channels[number] = nil }
    }

    /// Sends a method and waits for its reply. Several calls may be pending on one channel. They are answered in order.
    @discardableResult
    func call(_ call: AMQPCall, on channel: UInt16) async throws(AMQPFailure) -> AMQPReply {
        let result = await withCheckedContinuation { continuation in
            begin(call, on: channel) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Sends many methods together and waits for all replies. The first failure counts.
    @discardableResult
    func call(_ calls: [AMQPCall], on channel: UInt16) async throws(AMQPFailure) -> [AMQPReply] {
        guard !calls.isEmpty else { return [] }
        let batch = CallBatch(count: calls.count)
        let result = await withCheckedContinuation { continuation in
            for call in calls {
                begin(call, on: channel) { reply in
                    if let result = batch.add(reply) { continuation.resume(returning: result) }
                }
            }
        }
        return try result.get()
    }

    func begin(_ call: AMQPCall, on channel: UInt16, _ complete: @escaping CallCompletion) {
        if let closed { return complete(.failure(closed)) }
        guard channels[channel]?.isClosing == false else {
            return complete(.failure(AMQPFailure(.channelClosed(0), "the channel is closed")))
        }
        if case .channelClose = call { channels[channel]?.isClosing = true }
        channels[channel]?.calls.append(
            PendingCall(deadline: .now.advanced(by: callTimeout), complete: complete)
        )
        post(.call(call, channel: channel))
    }

    /// Acknowledges a delivery, or all up to it.
    func acknowledge(_ tag: UInt64, multiple: Bool, on channel: UInt16) {
        post(.acknowledge(tag, multiple: multiple, channel: channel))
    }

    /// Returns a delivery to its queue.
    func requeue(_ tag: UInt64, on channel: UInt16) {
        post(.requeue(tag, channel: channel))
    }

    /// Rejects a delivery, which sends it to the queue's dead-letter exchange.
    func reject(_ tag: UInt64, on channel: UInt16) {
        post(.reject(tag, channel: channel))
    }
}

/// A collector of the replies to calls that were sent together. It is used on the connection's thread only.
private final class CallBatch {
    var missing: Int
    var replies: [AMQPReply] = []

    init(count: Int) {
        missing = count
    }

    /// Adds a reply. Returns the result when it is complete, once.
    func add(_ reply: Result<AMQPReply, AMQPFailure>) -> Result<[AMQPReply], AMQPFailure>? {
        guard missing > 0 else { return nil }
        switch reply {
        case .success(let reply):
            replies.append(reply)
            missing -= 1
            return missing == 0 ? .success(replies) : nil
        case .failure(let failure):
            missing = 0
            return .failure(failure)
        }
    }
}
