import EventBus

/// Why the broker closed a channel that events were published on, and which of them it can have meant. Pure.
///
/// The protocol does not name the event, but the broker's text names where it was to go: `ACCESS_REFUSED - access to
/// exchange 'events' in vhost '/' refused for user 'shop'`, `… access to topic 'a.b' in exchange 'events' …`,
/// `NOT_FOUND - no exchange 'events' in vhost '/'`.
struct PublishRefusal: Hashable, Sendable {
    /// The broker's code.
    let code: UInt16
    let text: String
    /// The exchange that the text names; empty for the default exchange, `nil` if it names none.
    let exchange: String?
    /// The topic within the exchange that the text names.
    let topic: String?

    /// Reads the end of a channel; `nil` if the broker did not end it for what was sent.
    init?(_ failure: AMQPFailure) {
        guard case .channelClosed(let code) = failure.kind, code != 0 else { return nil }
        self.code = code
        self.text = failure.text
        let name = failure.text.part(after: "exchange '", before: "' in vhost")
        exchange = name == "amq.default" ? "" : name
        topic = failure.text.part(after: "topic '", before: "' in exchange")
    }

    /// The refusal of an event that was alone in flight at repeated ends of the connection.
    init(closingConnection failure: AMQPFailure) {
        code = failure.code ?? 0
        text = failure.text
        exchange = nil
        topic = nil
    }

    /// Whether everything that goes where the event was to go is refused, not this one event.
    var isOfRoute: Bool { exchange != nil && (code == AMQPFailure.accessRefused || code == AMQPFailure.notFound) }

    /// Whether declaring what is missing may mend it.
    var mayBeMended: Bool { code == AMQPFailure.notFound }

    /// Whether an event goes where the refused one was to go.
    func concerns(_ publish: AMQPPublish) -> Bool {
        publish.exchange == exchange && (topic == nil || publish.routingKey == topic)
    }

    /// Whether another refusal is of the same events.
    func isSameRoute(_ other: PublishRefusal) -> Bool { exchange == other.exchange && topic == other.topic }

    /// The broker's limit, if the text says that a message was larger: "message size 20 is larger than configured max
    /// size 10", or in older versions "… larger than max size 10".
    var sizeLimit: Int? {
        guard code == AMQPFailure.preconditionFailed, text.contains("message size"), text.contains("max size") else {
            return nil
        }
        return text.split(separator: " ").last.flatMap { Int($0) }
    }

    /// What a publish is told that is larger than ``sizeLimit``.
    var tooLarge: EventBusError { EventBusError(.tooLarge, "the event is larger than the broker accepts: \(text)") }

    /// The refusal as users of the bus see it.
    var busError: EventBusError {
        switch code {
        case AMQPFailure.accessRefused:
            EventBusError(.accessRefused, "the broker refuses the event; grant the user the right to write: \(text)")
        case AMQPFailure.notFound:
            EventBusError(.notFound, "the broker has nowhere to put the event: \(text)")
        default:
            EventBusError(
                .rejected,
                "the broker refused the event with \(code): \(text)",
                underlying: AMQPFailure(.channelClosed(code), text)
            )
        }
    }
}
