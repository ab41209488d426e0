import ConnectionThread
import DequeModule
import EventBus
import Glibc

/// Receiving: every frame passes one dispatcher.
extension RabbitConnection {
    func ready(_ events: DescriptorEvents) {
        if events.contains(.readable) { read() }
        if events.contains(.writable), closed == nil { becameWritable() }
    }

    func read() {
        guard mayRead() else { return }
        var count = 0
        while let handle {
            // Reading sends the heartbeats.
            switch sendTimeout.guarding({ handle.readFrame() }) {
            case .nothing:
                return
            case .failed(let failure):
                return end(failure)
            case .unreadable(let failure):
                return endUnreadable(failure)
            case .frame(let channel, let frame):
                dispatch(frame, on: channel)
                count += 1
                // With TLS, records may wait in the library's memory, and only reading finds them.
                if self.handle == nil || (!alwaysDrains && !handle.hasBufferedInput) { return }
                if count >= Self.framesPerTurn { return continueReading() }
            }
        }
    }

    /// Ends the connection because a frame cannot be read. If it is the header of a delivery, the consumer may settle
    /// that delivery before, because otherwise it would end every connection to which it is delivered.
    private func endUnreadable(_ failure: AMQPFailure) {
        let waiting = channels.values.filter { $0.assembler.methodAwaitingHeader != nil }
        // The broker sends the frames of a delivery together, so it is that of one channel.
        guard waiting.count == 1, let channel = waiting.first,
            case .deliver(let deliveryTag, let isRedelivered, _, _) = channel.assembler.methodAwaitingHeader
        else { return end(failure) }
        channel.onEvent(.unreadable(deliveryTag: deliveryTag, isRedelivered: isRedelivered))
        post(.connectionClose)
        guard closed == nil else { return }
        SocketDrain.start(on: descriptor, thread)
        end(AMQPFailure(.connectionLost, "the headers of a delivery cannot be read: \(failure.text)"))
    }

    /// Returns a Boolean value indicating whether the library may be called to read. It sends a heartbeat when one is
    /// due, and that send would not end on a socket without room, as with a broker that accepts nothing. The peer
    /// counts as alive as long as the number of bytes to be read grows.
    private func mayRead() -> Bool {
        guard !isWritable, let handle, handle.heartbeat > 0 else { return true }
        let (now, heartbeat) = (MonotonicTime.now, Duration.seconds(handle.heartbeat))
        // The last data was not sent before this time.
        if lastRoom.duration(to: now) < heartbeat / 2 { return true }
        if socketHasRoom() {
            pausedReading = nil
            return true
        }
        var waiting: Int32 = 0
        _ = ioctl(descriptor, UInt(FIONREAD), &waiting)
        if let paused = pausedReading, paused.waiting == waiting {
            if paused.since.duration(to: now) > heartbeat * 2 {
                end(AMQPFailure(.connectionLost, "the broker takes nothing and is silent", isTimeout: true))
                return false
            }
        } else {
            pausedReading = PausedReading(waiting: waiting, since: now)
        }
        if let socketWatch { thread.setEvents(.writable, of: socketWatch) }
        return false
    }

    func continueReading() {
        guard continuation == nil else { return }
        continuation = thread.schedule(at: .now) { [weak self] in
            self?.assumeIsolated { connection in
                connection.continuation = nil
                connection.read()
            }
        }
    }

    /// Serves heartbeats at an interval, because the library sends them inside its calls only, and closes the
    /// connection if a call is overdue, because a late reply would be taken for that of another call.
    func schedulePump(every interval: Duration) {
        pump = thread.schedule(at: .now.advanced(by: interval)) { [weak self] in
            self?.assumeIsolated { connection in
                guard connection.closed == nil else { return }
                connection.read()
                let now = MonotonicTime.now
                // A broker that accepts nothing does not read the calls either.
                if !connection.isBlocked, connection.isCallOverdue(at: now) {
                    return connection.end(
                        AMQPFailure(
                            .connectionLost,
                            "the broker did not answer within \(connection.callTimeout)",
                            isTimeout: true
                        )
                    )
                }
                if connection.closed == nil { connection.schedulePump(every: interval) }
            }
        }
    }

    private func isCallOverdue(at now: MonotonicTime) -> Bool {
        channels.values.contains { $0.calls.first.map { $0.deadline < now } ?? false }
    }

    func dispatch(_ frame: IncomingFrame, on number: UInt16) {
        if case .method(let method) = frame, number == 0 { return dispatchToConnection(method) }
        // A frame for a closed channel, which was in flight when it was closed.
        guard channels[number] != nil else { return }
        do throws(ChannelAssembler.UnexpectedFrame) {
            switch frame {
            case .method(let method):
                try dispatch(method, on: number)
            case .header(let bodySize, let properties):
                let content = try channels[number]?.assembler.header(bodySize: bodySize, properties)
                if let content = content ?? nil { dispatch(content, on: number) }
            case .body(let bytes):
                let content = try channels[number]?.assembler.body(bytes)
                if let content = content ?? nil { dispatch(content, on: number) }
            case .unknown:
                throw ChannelAssembler.UnexpectedFrame(text: "a frame of unknown kind")
            }
        } catch {
            end(AMQPFailure(.connectionLost, "the broker sent \(error.text)"))
        }
    }

    func dispatch(_ method: IncomingMethod, on number: UInt16) throws(ChannelAssembler.UnexpectedFrame) {
        switch method {
        case .deliver, .returned, .got:
            try channels[number]?.assembler.begin(method)
        case .reply(let reply):
            complete(reply, on: number)
        case .confirmed(let tag, let multiple, let isAcknowledged):
            channels[number]?.onEvent(.confirmed(tag: tag, multiple: multiple, isAcknowledged: isAcknowledged))
        case .consumerCancelled(let tag):
            channels[number]?.onEvent(.consumerCancelled(tag: tag))
        case .channelClose(let code, let text):
            let failure = AMQPFailure(.channelClosed(code), text)
            guard let channel = channels[number] else { return }
            // The broker expects no more of it, and would take the rest of a body for that of another channel.
            if partial?.channel == number { partial = nil }
            post(.channelCloseOK(number))
            let calls = channel.calls
            channel.calls = []
            if channel.isClosing, !channel.awaitsCloseOK {
                reserve(channel, number)
            } else {
                channels[number] = nil
            }
            for call in calls { call.complete(.failure(failure)) }
            channel.onEvent(.closed(failure))
        case .unknown, .connectionClose, .connectionCloseOK, .blocked, .unblocked:
            // `basic.flow` and others, which RabbitMQ does not send.
            break
        }
    }

    /// Keeps the number of a channel that both sides close until the broker has answered.
    private func reserve(_ channel: Channel, _ number: UInt16) {
        channel.awaitsCloseOK = true
        // A broker that never answers costs this number only.
        channel.calls = [
            PendingCall(deadline: MonotonicTime(nanoseconds: .max)) { [weak self] _ in
                self?.assumeIsolated { $0.channels[number] = nil }
            }
        ]
    }

    func dispatch(_ content: ChannelAssembler.Content, on number: UInt16) {
        switch content {
        case .delivered(let delivery): channels[number]?.onEvent(.delivered(delivery))
        case .got(let delivery, let remaining): complete(.message(delivery, remaining: remaining), on: number)
        case .returned(let message, let code, let text):
            channels[number]?.onEvent(.returned(message, code: code, text: text))
        }
    }

    func complete(_ reply: AMQPReply, on number: UInt16) {
        guard let channel = channels[number], let call = channel.calls.popFirst() else { return }
        // The next call had to wait for this one. A slow broker, for example when a whole fleet declares its topology,
        // is not a silent one.
        if !channel.calls.isEmpty { channel.calls[0].deadline = .now.advanced(by: callTimeout) }
        call.complete(.success(reply))
    }

    func dispatchToConnection(_ method: IncomingMethod) {
        switch method {
        case .blocked(let reason):
            isBlocked = true
            onEvent(.blocked(reason: reason))
        case .unblocked:
            isBlocked = false
            for channel in channels.values where !channel.calls.isEmpty && !channel.awaitsCloseOK {
                channel.calls[0].deadline = .now.advanced(by: callTimeout)
            }
            onEvent(.unblocked)
        case .connectionClose(let code, let text):
            if let handle { try? sendTimeout.guarding { () throws(AMQPFailure) in try handle.sendConnectionCloseOK() } }
            end(AMQPFailure(.connectionClosed(code), text))
        case .connectionCloseOK:
            end(AMQPFailure(.closedByUs, "closed"))
        default:
            break
        }
    }
}
