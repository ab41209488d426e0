internal import EventBus
internal import Logging

extension OutboxRelay {
    /// Logs that an event is given up.
    func log(_ event: StoredEvent, parkedBy failure: Failure) {
        logger.warning(
            "parked an outbox event that could not be published",
            metadata: [
                LogKeys.eventID: "\(event.envelope.id)",
                LogKeys.topic: "\(event.envelope.topic)",
                LogKeys.attempt: "\(failure.attempt)",
                LogKeys.reason: "\(String(loggable: failure.reason))",
                LogKeys.error: "\(String(loggable: failure.message))",
            ]
        )
    }

    /// Logs that a row contains no event.
    func log(_ parking: Settlement.ParkedRow) {
        logger.warning(
            "parked an outbox row that contains no event",
            metadata: [
                "sequence": "\(parking.place.sequence)", LogKeys.error: "\(String(loggable: parking.failure.message))",
            ]
        )
    }

    /// Logs that a topic has no subscription. It is not called again for later events of the topic.
    func log(unroutedTopic topic: String) {
        logger.warning(
            "events wait in the outbox because no queue is bound to their topic",
            metadata: [LogKeys.topic: "\(String(loggable: topic))"]
        )
    }

    /// Logs the state of the broker if its kind has changed.
    func log(_ trouble: RelayStateMachine.Trouble, after before: RelayStateMachine.Trouble) {
        if before == trouble { return }
        switch trouble {
        case .outage(let error):
            logger.warning(
                "the broker accepts no outbox events",
                metadata: [LogKeys.error: "\(String(loggable: error))"]
            )
        case .holds(let error):
            logger.warning("the broker delays outbox events", metadata: [LogKeys.error: "\(String(loggable: error))"])
        case .none:
            logger.info("the broker accepts outbox events again")
        }
    }
}
