import ConnectionThread
import DequeModule
import EventBus
import Glibc

/// One connection to the broker, from its login to its end.
///
/// An actor on its own I/O thread: the handle is touched there only. After the login nothing waits for the broker.
/// Methods go out while the socket has room; every frame that comes in passes one dispatcher, which gives replies to
/// the calls that wait for them and everything else to the channel's handler. Handlers run on the thread and only
/// store.
actor RabbitConnection {
    typealias CallCompletion = (Result<AMQPReply, AMQPFailure>) -> Void

    /// Frames read before other work of the thread gets its turn.
    static let framesPerTurn = 512
    /// How much is sent between two questions whether the socket has room: well below what a writable socket takes.
    static let bytesPerCheck = 16 << 10
    /// The largest part of a body that goes out at once, for the same reason.
    static let bytesPerFrame = 32 << 10

    /// A class, since every frame looks its channel up: what is found is a reference, not a copy of all this.
    final class Channel {
        var assembler: ChannelAssembler
        let onEvent: @Sendable (ChannelEvent) -> Void
        var calls = Deque<PendingCall>()
        var isClosing = false

        init(assembler: ChannelAssembler, onEvent: @escaping @Sendable (ChannelEvent) -> Void) {
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

    /// A body that goes out frame by frame.
    struct PartialBody {
        var channel: UInt16
        var body: [UInt8]
        var offset: Int
    }

    /// How many bytes wait to be read, and since when there are no more.
    struct PausedReading {
        var waiting: Int32
        var since: MonotonicTime
    }

    nonisolated let thread: ConnectionThread
    /// Rises with every connection of the transport.
    nonisolated let number: UInt64
    let callTimeout: Duration
    let maximumBodySize: Int
    let watch: SendWatch
    let watchdog: SendWatchdog
    let descriptor: Int32
    let alwaysDrains: Bool
    let onEvent: @Sendable (ConnectionEvent) -> Void
    /// The largest frame that both sides agreed on.
    nonisolated let frameMaximum: Int
    /// The broker's major release; 0 if it did not say.
    nonisolated let brokerMajorVersion: Int

    var handle: AMQPHandle?
    var socketWatch: ConnectionThread.WatchID?
    var pump: TimerID?
    var continuation: TimerID?
    var channels: [UInt16: Channel] = [:]
    var outbox = Deque<Outgoing>()
    var partial: PartialBody?
    var credit = 0
    var isWritable = true
    /// When the socket was last found to have room.
    var lastRoom = MonotonicTime.now
    /// What the peer has sent, while nothing is read for want of room to send.
    var pausedReading: PausedReading?
    var wantsWritable = false
    /// Whether the broker takes no events at present.
    var isBlocked = false
    var closed: AMQPFailure?
    var closeWaiters: [CheckedContinuation<AMQPFailure, Never>] = []

    /// Takes over a handle that has logged in.
    init(
        handle: AMQPHandle,
        number: UInt64,
        thread: ConnectionThread,
        watch: SendWatch,
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
        self.watchdog = SendWatchdog(takingOver: descriptor)
        self.descriptor = descriptor
        self.alwaysDrains = isTLS
        self.maximumBodySize = maximumBodySize
        self.callTimeout = callTimeout
        self.onEvent = onEvent
        self.frameMaximum = handle.frameMaximum
        self.brokerMajorVersion = Int(handle.brokerVersion.prefix { $0 != "." }) ?? 0
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    isolated deinit {
        end(AMQPFailure(.closedByUs, "dropped"))
    }

    /// Begins to serve the socket.
    func start() {
        guard let handle, socketWatch == nil else { return }
        watch.add(watchdog)
        socketWatch = thread.watch(descriptor, for: .readable) { [weak self] events in
            self?.assumeIsolated { $0.ready(events) }
        }
        let interval = handle.heartbeat > 0 ? Duration.seconds(handle.heartbeat) / 4 : .seconds(1)
        schedulePump(every: min(interval, .seconds(1)))
        // The login may have read further than its own frames.
        read()
    }

    // MARK: the end

    /// Waits until the connection has ended, and says why.
    func waitUntilClosed() async -> AMQPFailure {
        if let closed { return closed }
        return await withCheckedContinuation { closeWaiters.append($0) }
    }

    var isOpen: Bool { closed == nil }

    /// The same, asked on the thread: nothing can happen between the answer and what is done with it.
    nonisolated var isOpenOnThread: Bool { assumeIsolated { $0.isOpen } }

    /// Says goodbye to the broker and ends the connection, within `timeout`.
    ///
    /// The goodbye waits its turn like everything else: a broker that takes nothing does not hold the thread with it.
    func close(timeout: Duration = .seconds(1)) async {
        guard closed == nil else { return }
        thread.schedule(at: .now.advanced(by: timeout)) { [weak self] in
            self?.assumeIsolated { $0.end(AMQPFailure(.closedByUs, "the broker did not answer the goodbye")) }
        }
        post(.connectionClose)
        _ = await waitUntilClosed()
    }

    /// Ends the connection at once.
    func abort(_ reason: String) {
        end(AMQPFailure(.connectionLost, reason))
    }

    func end(_ failure: AMQPFailure) {
        guard closed == nil else { return }
        closed = failure
        if let socketWatch { thread.unwatch(socketWatch) }
        if let pump { thread.cancel(pump) }
        if let continuation { thread.cancel(continuation) }
        watch.remove(watchdog)
        watchdog.close()
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

    // MARK: channels and calls

    /// Opens a channel whose events go to `onEvent`, on the connection's thread.
    func openChannel(_ onEvent: @escaping @Sendable (ChannelEvent) -> Void) async throws(AMQPFailure) -> UInt16 {
        guard let handle else { throw closed ?? AMQPFailure(.closedByUs, "closed") }
        let maximum = handle.channelMaximum
        guard channels.count < Int(maximum) else {
            throw AMQPFailure(.channelClosed(0), "all \(maximum) channels that the broker grants are in use")
        }
        // The lowest that is free: the library keeps memory for every number ever used, and walks it for each frame.
        var number: UInt16 = 1
        while channels[number] != nil { number += 1 }
        channels[number] = Channel(
            assembler: ChannelAssembler(maximumBodySize: maximumBodySize),
            onEvent: onEvent
        )
        _ = try await call(.channelOpen, on: number)
        return number
    }

    /// Whether a channel is open, and whether the broker takes no events: asked on the thread, so that nothing can
    /// happen between the answer and what is done with it.
    nonisolated func state(of channel: UInt16) -> (isUsable: Bool, isBlocked: Bool) {
        assumeIsolated { ($0.channels[channel]?.isClosing == false, $0.isBlocked) }
    }

    /// Closes a channel; what was delivered on it and not settled goes back to its queue.
    func closeChannel(_ number: UInt16) async {
        guard channels[number] != nil, channels[number]?.isClosing == false else { return }
        _ = try? await call(.channelClose, on: number)
        channels[number] = nil
    }

    /// Closes a channel that nobody waits for.
    func closeChannelWithoutWaiting(_ number: UInt16) {
        guard channels[number] != nil, channels[number]?.isClosing == false else { return }
        begin(.channelClose, on: number) { [weak self] _ in
            self?.assumeIsolated { $0.channels[number] = nil }
        }
    }

    /// Sends a method and waits for its reply. Several may be under way on one channel; they are answered in order.
    @discardableResult
    func call(_ call: AMQPCall, on channel: UInt16) async throws(AMQPFailure) -> AMQPReply {
        let result = await withCheckedContinuation { continuation in
            begin(call, on: channel) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Sends many methods at once and waits for all replies. The first failure counts.
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

    /// Lets go of a delivery, or of all up to it.
    func acknowledge(_ tag: UInt64, multiple: Bool, on channel: UInt16) {
        post(.acknowledge(tag, multiple: multiple, channel: channel))
    }

    /// Gives a delivery back to its queue.
    func requeue(_ tag: UInt64, on channel: UInt16) {
        post(.requeue(tag, channel: channel))
    }

    /// Sends a delivery down the queue's own dead-letter path.
    func reject(_ tag: UInt64, on channel: UInt16) {
        post(.reject(tag, channel: channel))
    }
}

/// Collects the replies to calls that were sent together. Used on the connection's thread only.
private final class CallBatch {
    var missing: Int
    var replies: [AMQPReply] = []

    init(count: Int) {
        missing = count
    }

    /// Adds a reply; returns the result when it is settled, once.
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
