internal import Logging

/// An observer that logs the outcome of each delivery. Retries, dead letters and handlers that exceed their time limit are
/// logged at `info`, running handlers that lose their delivery as warnings, and all other outcomes at `debug`.
public struct LoggingObserver: DeliveryObserver {
    /// Creates an observer that logs to the bus's logger.
    public init() {}

    /// Logs that a handler was cancelled at its time limit.
    public func didTimeOut(_ context: EventContext) {
        context.logger.info("handler exceeded its timeout and was cancelled; it occupies a worker until it returns")
    }

    /// Logs that a running handler has lost its delivery.
    public func didRevoke(_ context: EventContext) {
        context.logger.warning(
            "a running handler lost its delivery, with its connection or at the broker's consumer timeout, and it is redelivered"
        )
    }

    /// Logs the outcome of a delivery.
    public func didSettle(_ delivery: SettledDelivery) {
        let level: Logger.Level
        switch delivery.disposition {
        case .retried, .deadLettered: level = .info
        case .acknowledged, .deferred, .requeued: level = .debug
        }
        guard delivery.logger.logger.logLevel <= level else { return }
        let logger = delivery.logger.describing(
            delivery.envelope,
            attempt: delivery.attempt,
            subscription: delivery.subscription
        )
        switch delivery.disposition {
        case .acknowledged:
            logger.debug("event handled")
        case .retried(let delay, let failure):
            logger.info(
                "event failed and will be retried",
                metadata: [LogKeys.delay: "\(delay.brief)", LogKeys.error: "\(String(loggable: failure.message))"]
            )
        case .deferred(let delay, let failure?):
            logger.debug(
                "event deferred; the attempt does not count",
                metadata: [LogKeys.delay: "\(delay.brief)", LogKeys.error: "\(String(loggable: failure.message))"]
            )
        case .deferred(let delay, nil):
            logger.debug(
                "event deferred because another consumer is handling it",
                metadata: [LogKeys.delay: "\(delay.brief)"]
            )
        case .deadLettered(let failure):
            logger.info(
                "event dead-lettered",
                metadata: [
                    LogKeys.reason: "\(String(loggable: failure.reason))",
                    LogKeys.error: "\(String(loggable: failure.message))",
                ]
            )
        case .requeued:
            logger.debug("event requeued")
        }
    }
}
