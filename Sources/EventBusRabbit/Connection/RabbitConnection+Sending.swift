import ConnectionThread
import DequeModule
import EventBus
import Glibc

/// Sending: only while the socket has room, and never more at once than it accepts.
extension RabbitConnection {
    /// The result of sending an event.
    enum Sending: Equatable {
        /// The event was sent, or the connection broke meanwhile, so that the broker may have it.
        case sent
        /// Nothing was sent. `.writable` is reported when the socket has room.
        case noRoom
        /// Nothing was sent, and nothing can be.
        case unsendable(WireProblem)
    }

    /// Sends an event, if it is valid and the socket has room.
    func publish(_ publish: AMQPPublish, on channel: UInt16) -> Sending {
        guard channels[channel]?.isClosing == false, hasRoom(), let handle else { return .noRoom }
        if let problem = publish.problem(frameMaximum: frameMaximum) { return .unsendable(problem) }
        do throws(AMQPFailure) {
            if publish.body.count <= min(handle.maximumBodyInOneFrame, Self.bytesPerCheck) {
                try sendTimeout.guarding { () throws(AMQPFailure) in try handle.sendWhole(publish, on: channel) }
                credit -= publish.size
            } else {
                try sendTimeout.guarding { () throws(AMQPFailure) in try handle.sendHead(of: publish, on: channel) }
                partial = PartialBody(channel: channel, body: publish.body, offset: 0)
                credit = 0
                sendPartial()
            }
        } catch {
            end(error)
        }
        return .sent
    }

    /// Makes the following sends wait for full packets, or be sent immediately again. An event consists of three
    /// frames, each of which would be a separate packet. For many events that is most of the work, here and at the
    /// broker.
    func setCork(_ isOn: Bool) {
        guard handle != nil else { return }
        var value: Int32 = isOn ? 1 : 0
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CORK, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    func post(_ outgoing: Outgoing) {
        guard closed == nil else { return }
        if outbox.isEmpty, partial == nil, hasRoom() {
            send(outgoing)
        } else {
            outbox.append(outgoing)
            wantsWritable = true
            watchForWritable()
        }
    }

    func flushOutbox() {
        while !outbox.isEmpty, closed == nil, hasRoom(evenIfPartial: true) {
            send(outbox.removeFirst())
        }
    }

    func send(_ outgoing: Outgoing) {
        guard let handle else { return }
        credit -= 64
        do throws(AMQPFailure) {
            try sendTimeout.guarding { () throws(AMQPFailure) in
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
                case .connectionClose:
                    try handle.sendConnectionClose()
                }
            }
        } catch {
            end(error)
        }
    }

    /// Returns a Boolean value indicating whether something may be sent now. If not, the socket is watched until
    /// something may.
    func hasRoom(evenIfPartial: Bool = false) -> Bool {
        guard closed == nil, evenIfPartial || partial == nil else { return false }
        if credit > 0 { return true }
        guard isWritable else {
            wantsWritable = true
            return false
        }
        if socketHasRoom() {
            credit = Self.bytesPerCheck
            lastRoom = .now
            return true
        }
        isWritable = false
        wantsWritable = true
        watchForWritable()
        return false
    }

    func socketHasRoom() -> Bool {
        var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&request, 1, 0) == 1 && request.revents & Int16(POLLOUT) != 0
    }

    func sendPartial() {
        while let current = partial, let handle, hasRoom(evenIfPartial: true) {
            let end = min(current.offset + min(frameMaximum - 8, Self.bytesPerFrame), current.body.count)
            do throws(AMQPFailure) {
                try sendTimeout.guarding { () throws(AMQPFailure) in
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

    func watchForWritable() {
        guard let socketWatch else { return }
        thread.setEvents([.readable, .writable], of: socketWatch)
    }

    func becameWritable() {
        isWritable = true
        lastRoom = .now
        if pausedReading != nil {
            pausedReading = nil
            watchForWritable()
        }
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
}
