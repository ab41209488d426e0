import EventBus

extension RabbitPublisher {
    /// Returns the error for the caller of an event that was not confirmed.
    func error(for resolution: Router.Machine.Resolution) -> any Error {
        switch resolution {
        case .cancelled:
            ending ?? CancellationError()
        case .rejected:
            EventBusError(
                .rejected,
                "a queue refused the event, as one that is full does; other queues may hold it: publish it again with "
                    + "the same id, which is safe"
            )
        case .refused(let refusal):
            refusal.busError
        case .unsendable(let problem):
            problem.busError
        case .tooLarge:
            EventBusError(.tooLarge, "the event is larger than the broker accepts")
        case .timedOut:
            unsent
        case .blocked:
            EventBusError(.blocked, "the broker takes no events at present: it is low on memory or disk")
        case .indeterminate, .confirmed:
            EventBusError(
                .indeterminate,
                "the event was sent, but whether the broker holds it is unknown; publish it again with the same id to be "
                    + "sure",
                underlying: ending ?? lastFailure
            )
        }
    }

    /// The error of an event that was not sent. Without a connection, the broker is to blame and not the time.
    private var unsent: EventBusError {
        let start = "the deadline passed before the event was sent: "
        guard !isAttached else { return EventBusError(.timedOut, start + "too many wait before it") }
        guard let lastFailure else { return EventBusError(.unavailable, start + "there was no connection yet") }
        return EventBusError(
            .unavailable,
            start + "there is no connection" + (lastFailure.text.isEmpty ? "" : " (\(lastFailure))"),
            underlying: lastFailure
        )
    }
}
