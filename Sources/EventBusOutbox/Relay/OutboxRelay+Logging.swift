internal import EventBus
internal import Logging

extension OutboxRelay {
    /// Logs that an event is given up.
    func log(_ event: StoredEvent, parkedBy failure: Failure) {
        logger.warning(
            "an event of the outbox could not be published and is parked",
            metadata: [
                LogKeys.eventID: "\(event.envelope.id)",
                LogKeys.topic: "\(event.envelope.topic)",
                LogKeys.attempt: "\(failure.attempt)",
                LogKeys.reason: "\(failure.reason)",
                LogKeys.error: "\(failure.message)",
            ]
        )
    }

    /// Logs that a row contains no event.
    func log(_ parking: Settlement.Parking) {
        logger.warning(
            "a row of the outbox holds no event and is parked",
            metadata: ["sequence": "\(parking.sequence)", LogKeys.error: "\(parking.failure.message)"]
        )
    }

    /// Logs that a topic has no subscription. It is not called again for later events of the topic.
    func log(unroutedTopic topic: String) {
        logger.warning(
            "nobody subscribes to a topic; its events wait in the outbox until somebody does",
            metadata: [LogKeys.topic: "\(topic)"]
        )
    }

    /// Logs the state of the broker if its kind has changed.
    func log(_ trouble: RelayMachine.Trouble, after before: RelayMachine.Trouble) {
        if before == trouble { return }
        switch trouble {
        case .outage(let error):
            logger.warning("the broker takes no events of the outbox", metadata: [LogKeys.error: "\(error)"])
        case .holds(let error):
            logger.warning("the broker holds up events of the outbox", metadata: [LogKeys.error: "\(error)"])
        case .none:
            logger.info("the broker takes the events of the outbox again")
        }
    }
}
