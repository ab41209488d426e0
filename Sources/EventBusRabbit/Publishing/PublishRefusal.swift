import EventBus

/// The reason why the broker closed a publishing channel, and the events that may have caused it.
///
/// The protocol does not name the event, but the broker's text names its destination: `ACCESS_REFUSED - access to
/// exchange 'events' in vhost '/' refused for user 'shop'`, `… access to topic 'a.b' in exchange 'events' …`,
/// `NOT_FOUND - no exchange 'events' in vhost '/'`.
struct PublishRefusal: Hashable, Sendable {
    /// The broker's code.
    let code: UInt16
    let text: String
    /// The exchange that the text names: empty for the default exchange, or `nil` if it names none.
    let exchange: String?
    /// The topic in the exchange that the text names.
    let topic: String?

    /// Creates a refusal from the end of a channel. Returns `nil` if the broker did not close it because of a sent
    /// event.
    init?(_ failure: AMQPFailure) {
        guard case .channelClosed(let code) = failure.kind, code != 0 else { return nil }
        self.code = code
        self.text = failure.text
        let name = failure.text.part(after: "exchange '", before: "' in vhost")
        exchange = name == "amq.default" ? "" : name
        topic = failure.text.part(after: "topic '", before: "' in exchange")
    }

    /// Creates the refusal of an event that was alone in flight when the connection ended repeatedly.
    init(closingConnection failure: AMQPFailure) {
        code = failure.code ?? 0
        text = failure.text
        exchange = nil
        topic = nil
    }

    /// A Boolean value indicating whether all events with the same destination are refused, and not only this event.
    var isOfRoute: Bool { exchange != nil && (code == AMQPFailure.accessRefused || code == AMQPFailure.notFound) }

    /// A Boolean value indicating whether declaring missing objects may help.
    var isRetriable: Bool { code == AMQPFailure.notFound }

    /// Returns a Boolean value indicating whether an event has the destination of the refused one.
    func concerns(_ publish: AMQPPublish) -> Bool {
        publish.exchange == exchange && (topic == nil || publish.routingKey == topic)
    }

    /// Returns a Boolean value indicating whether another refusal concerns the same events.
    func isSameRoute(_ other: PublishRefusal) -> Bool { exchange == other.exchange && topic == other.topic }

    /// The broker's limit, if the text says that a message was larger: "message size 20 is larger than configured max
    /// size 10", or in older versions "… larger than max size 10".
    var sizeLimit: Int? {
        guard code == AMQPFailure.preconditionFailed, text.contains("message size"), text.contains("max size") else {
            return nil
        }
        return text.split(separator: " ").last.flatMap { Int($0) }
    }

    /// The error for an event that is larger than ``sizeLimit``.
    var tooLarge: EventBusError { EventBusError(.tooLarge, "the event is larger than the broker accepts: \(text)") }

    /// The refusal in the form in which users of the bus see it.
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
