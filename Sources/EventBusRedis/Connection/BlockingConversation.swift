import ConnectionThread
import EventBus
import Glibc

/// A connection whose calls block until a deadline. It is for a few questions on a thread that may block.
final class BlockingConversation {
    private let socket: RedisSocket
    private let tls: TLSStream?
    private let reader: ReplyReader
    private let deadline: MonotonicTime

    /// Connects to a server. All calls together end at `deadline`.
    init(
        with address: SocketAddress,
        tls settings: RedisConfiguration.TLS?,
        until deadline: MonotonicTime
    ) throws(EventBusError) {
        self.deadline = deadline
        reader = try ReplyReader(maximumSize: 1 << 20)
        let socket = try RedisSocket.connecting(to: address)
        self.socket = socket
        tls = if let settings { try TLSStream(over: socket, to: address.host, settings) } else { nil }
        try wait(for: POLLOUT)
        guard socket.problem == 0 else { throw unavailable(String(errorNumber: socket.problem)) }
        guard let tls else { return }
        while try !tls.shakeHands() { try wait(for: POLLIN | (tls.undeliveredByteCount > 0 ? POLLOUT : 0)) }
    }

    /// Sends a command and returns the reply, which may be an error.
    func ask(_ command: RedisCommand) throws(EventBusError) -> RedisValue {
        var rest = command.wire[...]
        while !rest.isEmpty {
            let transfer = rest.withUnsafeBytes { tls?.write($0) ?? socket.write($0) }
            try rest.removeFirst(moved(transfer) ?? 0)
            if !rest.isEmpty { try wait(for: POLLOUT) }
        }
        while true {
            if let reply = try reader.next() { return reply }
            let transfer = if let tls { try reader.feed(from: tls.read) } else { try reader.feed(from: socket.read) }
            guard try moved(transfer) == nil else { continue }
            try wait(for: POLLIN | ((tls?.undeliveredByteCount ?? 0) > 0 ? POLLOUT : 0))
            _ = tls?.flush()
        }
    }

    /// Returns the number of bytes that were moved, or `nil` if the socket was not ready.
    private func moved(_ transfer: RedisSocket.Transfer) throws(EventBusError) -> Int? {
        switch transfer {
        case .moved(let count): return count
        case .wouldBlock: return nil
        case .closed: throw unavailable("it closed the connection")
        case .failed(let problem): throw unavailable(String(errorNumber: problem))
        case .broken(let reason): throw unavailable(reason)
        }
    }

    private func wait(for events: Int32) throws(EventBusError) {
        var descriptor = pollfd(fd: socket.descriptor, events: Int16(events), revents: 0)
        while true {
            let now = MonotonicTime.now
            guard now < deadline else { throw unavailable("it did not answer in time") }
            let milliseconds = MonotonicTime.nanoseconds(now.duration(to: deadline)) / 1_000_000 + 1
            if poll(&descriptor, 1, Int32(clamping: milliseconds)) > 0 { return }
        }
    }

    private func unavailable(_ reason: String) -> EventBusError {
        EventBusError(.unavailable, "no conversation with the server: \(reason)")
    }
}
