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

<<<<<<< HEAD
    struct Channel {
=======
    /// A class, since every frame looks its channel up: what is found is a reference, not a copy of all this.
    private final class Channel {
>>>>>>> rabbitbench
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
    }

    /// A body that goes out frame by frame.
    struct PartialBody {
        var channel: UInt16
        var body: [UInt8]
        var offset: Int
    }

    nonisolated let thread: ConnectionThread
    /// Rises with every connection of the transport.
    nonisolated let number: UInt64
    /// The largest header frame that the broker accepts.
    nonisolated let maximumHeaderSize: Int

    let callTimeout: Duration
    let maximumBodySize: Int
    let watch: SendWatch
    let watchdog: SendWatchdog
    let descriptor: Int32
    let alwaysDrains: Bool
    let onEvent: @Sendable (ConnectionEvent) -> Void
    let frameMaximum: Int

    var handle: AMQPHandle?
    var socketWatch: ConnectionThread.WatchID?
    var pump: TimerID?
    var continuation: TimerID?
    var channels: [UInt16: Channel] = [:]
    var lastChannel: UInt16 = 0
    var outbox = Deque<Outgoing>()
    var partial: PartialBody?
    var credit = 0
    var isWritable = true
    var wantsWritable = false
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
        self.maximumHeaderSize = handle.frameMaximum - 8
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

    /// Says goodbye to the broker and ends the connection, within `timeout`.
    func close(timeout: Duration = .seconds(1)) async {
        guard let handle, closed == nil else { return }
        flushOutbox()
        do throws(AMQPFailure) {
            try watchdog.guarding { () throws(AMQPFailure) in try handle.sendConnectionClose() }
        } catch {
            end(error)
            return
        }
        thread.schedule(at: .now.advanced(by: timeout)) { [weak self] in
            self?.assumeIsolated { $0.end(AMQPFailure(.closedByUs, "the broker did not answer the goodbye")) }
        }
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
        var number = lastChannel
        repeat {
            number = number >= handle.channelMaximum ? 1 : number + 1
            if number == lastChannel { throw AMQPFailure(.connectionLost, "no channel is free") }
        } while channels[number] != nil
        lastChannel = number
        channels[number] = Channel(
            assembler: ChannelAssembler(maximumBodySize: maximumBodySize),
            onEvent: onEvent
        )
        _ = try await call(.channelOpen, on: number)
        return number
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
<<<<<<< HEAD
=======

    // MARK: sending

    /// Sends an event if the socket has room. If not, nothing was sent, and `.writable` is reported once it has.
    func publish(_ publish: AMQPPublish, on channel: UInt16) -> Bool {
        guard channels[channel]?.isClosing == false, hasRoom(), let handle else { return false }
        do throws(AMQPFailure) {
            if publish.body.count <= min(handle.maximumBodyInOneFrame, Self.bytesPerCheck) {
                try watchdog.guarding { () throws(AMQPFailure) in try handle.sendWhole(publish, on: channel) }
                credit -= publish.size
            } else {
                try watchdog.guarding { () throws(AMQPFailure) in try handle.sendHead(of: publish, on: channel) }
                partial = PartialBody(channel: channel, body: publish.body, offset: 0)
                credit = 0
                sendPartial()
            }
        } catch {
            end(error)
        }
        // If the connection broke meanwhile, the event counts as sent: it may be with the broker.
        return true
    }

    private func post(_ outgoing: Outgoing) {
        guard closed == nil else { return }
        if outbox.isEmpty, partial == nil, hasRoom() {
            send(outgoing)
        } else {
            outbox.append(outgoing)
            wantsWritable = true
            watchForWritable()
        }
    }

    private func flushOutbox() {
        while !outbox.isEmpty, closed == nil, hasRoom(evenIfPartial: true) {
            send(outbox.removeFirst())
        }
    }

    private func send(_ outgoing: Outgoing) {
        guard let handle else { return }
        credit -= 64
        do throws(AMQPFailure) {
            try watchdog.guarding { () throws(AMQPFailure) in
                switch outgoing {
                case .call(let call, let channel):
                    if channels[channel] != nil { try handle.send(call, on: channel) }
                case .acknowledge(let tag, let multiple, let channel):
                    guard channels[channel]?.isClosing == false else { return }
                    try handle.sendAcknowledgement(tag, multiple: multiple, on: channel)
                case .requeue(let tag, let channel):
                    guard channels[channel]?.isClosing == false else { return }
                    try handle.sendRequeue(tag, on: channel)
                case .reject(let tag, let channel):
                    guard channels[channel]?.isClosing == false else { return }
                    try handle.sendReject(tag, on: channel)
                case .channelCloseOK(let channel):
                    try handle.sendChannelCloseOK(on: channel)
                }
            }
        } catch {
            end(error)
        }
    }

    /// Whether something may be sent now. If not, the socket is watched until something may.
    private func hasRoom(evenIfPartial: Bool = false) -> Bool {
        guard closed == nil, evenIfPartial || partial == nil else { return false }
        if credit > 0 { return true }
        guard isWritable else {
            wantsWritable = true
            return false
        }
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        if poll(&request, 1, 0) == 1, request.revents & Int16(POLLOUT) != 0 {
            credit = Self.bytesPerCheck
            return true
        }
        isWritable = false
        wantsWritable = true
        watchForWritable()
        return false
    }

    private func sendPartial() {
        while let current = partial, let handle, hasRoom(evenIfPartial: true) {
            let end = min(current.offset + min(frameMaximum - 8, Self.bytesPerFrame), current.body.count)
            do throws(AMQPFailure) {
                try watchdog.guarding { () throws(AMQPFailure) in
                    try handle.sendBody(current.body[current.offset..<end], on: current.channel)
                }
            } catch {
                return self.end(error)
            }
            credit = 0
            if end == current.body.count {
                partial = nil
                wantsWritable = true
            } else {
                partial?.offset = end
            }
        }
    }

    private func watchForWritable() {
        guard let socketWatch else { return }
        thread.setEvents([.readable, .writable], of: socketWatch)
    }

    private func becameWritable() {
        isWritable = true
        credit = Self.bytesPerCheck
        sendPartial()
        flushOutbox()
        guard closed == nil, isWritable, partial == nil, outbox.isEmpty else { return }
        if let socketWatch { thread.setEvents(.readable, of: socketWatch) }
        if wantsWritable {
            wantsWritable = false
            onEvent(.writable)
        }
    }

    // MARK: receiving

    private func ready(_ events: DescriptorEvents) {
        if events.contains(.readable) { read() }
        if events.contains(.writable), closed == nil { becameWritable() }
    }

    private func read() {
        var count = 0
        while let handle {
            // Reading sends the heartbeats.
            switch watchdog.guarding({ handle.readFrame() }) {
            case .nothing:
                return
            case .failed(let failure):
                return end(failure)
            case .frame(let channel, let frame):
                dispatch(frame, on: channel)
                count += 1
                // Over TLS records may wait in the library's memory, which only reading tells.
                if self.handle == nil || (!alwaysDrains && !handle.hasBufferedInput) { return }
                if count >= Self.framesPerTurn { return continueReading() }
            }
        }
    }

    private func continueReading() {
        guard continuation == nil else { return }
        continuation = thread.schedule(at: .now) { [weak self] in
            self?.assumeIsolated { connection in
                connection.continuation = nil
                connection.read()
            }
        }
    }

    /// Heartbeats are served inside the library's calls only, and calls that are overdue end the connection: a reply
    /// that came after all would be taken for another's.
    private func schedulePump(every interval: Duration) {
        pump = thread.schedule(at: .now.advanced(by: interval)) { [weak self] in
            self?.assumeIsolated { connection in
                guard connection.closed == nil else { return }
                connection.read()
                let now = MonotonicTime.now
                if connection.channels.values.contains(where: { $0.calls.first.map { $0.deadline < now } ?? false }) {
                    return connection.end(
                        AMQPFailure(.connectionLost, "the broker did not answer within \(connection.callTimeout)")
                    )
                }
                if connection.closed == nil { connection.schedulePump(every: interval) }
            }
        }
    }

    private func dispatch(_ frame: IncomingFrame, on number: UInt16) {
        if case .method(let method) = frame, number == 0 { return dispatchToConnection(method) }
        // A frame for a channel that is gone: it was on its way when we closed it.
        guard let channel = channels[number] else { return }
        do throws(ChannelAssembler.UnexpectedFrame) {
            switch frame {
            case .method(let method):
                try dispatch(method, on: number, channel)
            case .header(let bodySize, let properties):
                if let content = try channel.assembler.header(bodySize: bodySize, properties) {
                    dispatch(content, on: number, channel)
                }
            case .body(let bytes):
                if let content = try channel.assembler.body(bytes) { dispatch(content, on: number, channel) }
            case .unknown:
                throw ChannelAssembler.UnexpectedFrame(text: "a frame of unknown kind")
            }
        } catch {
            end(AMQPFailure(.connectionLost, "the broker sent \(error.text)"))
        }
    }

    private func dispatch(
        _ method: IncomingMethod,
        on number: UInt16,
        _ channel: Channel
    ) throws(ChannelAssembler.UnexpectedFrame) {
        switch method {
        case .deliver, .returned, .got:
            try channel.assembler.begin(method)
        case .reply(let reply):
            complete(reply, on: number)
        case .confirmed(let tag, let multiple, let isAcknowledged):
            channel.onEvent(.confirmed(tag: tag, multiple: multiple, isAcknowledged: isAcknowledged))
        case .consumerCancelled(let tag):
            channel.onEvent(.consumerCancelled(tag: tag))
        case .channelClose(let code, let text):
            let failure = AMQPFailure(.channelClosed(code), text)
            channels[number] = nil
            post(.channelCloseOK(number))
            for call in channel.calls { call.complete(.failure(failure)) }
            channel.onEvent(.closed(failure))
        case .unknown, .connectionClose, .connectionCloseOK, .blocked, .unblocked:
            // `basic.flow` and the like: RabbitMQ does not send them.
            break
        }
    }

    private func dispatch(_ content: ChannelAssembler.Content, on number: UInt16, _ channel: Channel) {
        switch content {
        case .delivered(let delivery): channel.onEvent(.delivered(delivery))
        case .got(let delivery, let remaining): complete(.message(delivery, remaining: remaining), on: number)
        case .returned(let message, let code, let text):
            channel.onEvent(.returned(message, code: code, text: text))
        }
    }

    private func complete(_ reply: AMQPReply, on number: UInt16) {
        guard let call = channels[number]?.calls.popFirst() else { return }
        call.complete(.success(reply))
    }

    private func dispatchToConnection(_ method: IncomingMethod) {
        switch method {
        case .blocked(let reason): onEvent(.blocked(reason: reason))
        case .unblocked: onEvent(.unblocked)
        case .connectionClose(let code, let text):
            if let handle { try? watchdog.guarding { () throws(AMQPFailure) in try handle.sendConnectionCloseOK() } }
            end(AMQPFailure(.connectionClosed(code), text))
        case .connectionCloseOK:
            end(AMQPFailure(.closedByUs, "closed"))
        default:
            break
        }
    }
>>>>>>> rabbitbench
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
