import EventBus
import Glibc

@testable import EventBusRedis

/// A relay between clients and a server that can swallow the data of the message connections, which stay open.
final class MessageRelay: Sendable {
    let port: Int
    private let listener: RawListener
    private let swallows = Shared(false)

    init(to serverPort: Int) throws {
        port = try freePort()
        guard let listener = try RawListener(port: port) else { throw EventBusError(.unavailable, "no port") }
        self.listener = listener
        onThread { [swallows] in
            while let client = try? listener.accept() {
                guard let server = try? RawConnection(waitingFor: serverPort) else { return client.hangUp() }
                let carriesMessages = Shared(false)
                let isSwallowed = { @Sendable in swallows.value && carriesMessages.value }
                onThread {
                    Self.carry(from: client, to: server, unless: isSwallowed) { bytes in
                        if bytes.contains("SUBSCRIBE") { carriesMessages.change { $0 = true } }
                    }
                }
                onThread { Self.carry(from: server, to: client, unless: isSwallowed) { _ in } }
            }
        }
    }

    deinit { listener.close() }

    /// Sets whether the data of message connections is swallowed in both directions.
    func swallow(_ isOn: Bool) {
        swallows.change { $0 = isOn }
    }

    private static func carry(
        from source: RawConnection,
        to target: RawConnection,
        unless isSwallowed: () -> Bool,
        seen: (String) -> Void
    ) {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = recv(source.descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return target.hangUp() }
            let bytes = Array(buffer[..<count])
            seen(String(decoding: bytes, as: UTF8.self))
            if !isSwallowed() { target.write(bytes) }
        }
    }
}
