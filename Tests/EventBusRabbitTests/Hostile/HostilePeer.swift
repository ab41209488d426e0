import EventBusRabbit
import Testing

/// A client that may only write to the exchange of events, and sends whatever it likes there.
struct HostilePeer: Sendable {
    let configuration: RabbitConfiguration

    /// Sends messages one after another, and returns the number of those that the broker accepted.
    func send(_ messages: [HostileMessage]) async throws -> Int {
        var (accepted, sent) = (0, 0)
        while sent < messages.count {
            let part = try await sendUntilHungUp(messages[sent...])
            accepted += part.accepted
            sent += part.sent
        }
        return accepted
    }

    /// Sends messages over one connection, until the broker closes it.
    private func sendUntilHungUp(_ messages: ArraySlice<HostileMessage>) async throws -> (accepted: Int, sent: Int) {
        let exchange = configuration.exchange
        return try await RawClient.run(configuration) { client in
            var (accepted, sent) = (0, 0)
            for message in messages {
                let properties = message.properties
                let answer = try client.offer(
                    exchange: exchange,
                    routingKey: message.topic,
                    flags: properties.flags,
                    properties: properties.bytes,
                    body: message.body
                )
                sent += 1
                if answer == .accepted { accepted += 1 }
                if answer == .hungUp { break }
            }
            return (accepted, sent)
        }
    }
}
