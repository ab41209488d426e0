internal import Logging

/// Middleware that logs the outcome of each delivery. Retries, dead letters and handlers that exceed their time limit are
/// logged at `info`, and all other outcomes at `debug`.
public struct LoggingMiddleware: SettlementObserver {
    /// Creates a step that logs to the bus's logger.
    public init() {}

    /// Logs that a handler was cancelled at its time limit.
    public func didTimeOut(_ context: EventContext) {
        context.logger.info("handler passed its time limit and was cancelled; its place is taken until it ends")
    }

    /// Logs the outcome of a delivery.
    public func didSettle(_ delivery: SettledDelivery) {
        let level: Logger.Level
        switch delivery.disposition {
        case .retried, .deadLettered: level = .info
        case .acknowledged, .deferred, .handedBack: level = .debug
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
                "event failed, will be retried",
                metadata: [LogKeys.delay: "\(delay)", LogKeys.error: "\(failure.message)"]
            )
        case .deferred(let delay, let failure?):
            logger.debug(
                "event cannot be handled at present, will be tried again as the same attempt",
                metadata: [LogKeys.delay: "\(delay)", LogKeys.error: "\(failure.message.printable)"]
            )
        case .deferred(let delay, nil):
            logger.debug(
                "event is being handled elsewhere, will be looked at again",
                metadata: [LogKeys.delay: "\(delay)"]
            )
        case .deadLettered(let failure):
            logger.info(
                "event failed for good, put to the dead letters",
                metadata: [LogKeys.reason: "\(failure.reason)", LogKeys.error: "\(failure.message)"]
            )
        case .handedBack:
            logger.debug("event handed back to the broker")
        }
    }
}
