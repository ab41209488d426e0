package import Logging

/// The user's logger, from which loggers for single events are created.
package final class BusLogger: Sendable {
    package let logger: Logger

    package init(_ logger: Logger) {
        self.logger = logger
    }

    /// Returns a logger that adds the event's metadata to every message. Creating it takes microseconds, so create it
    /// only to write a message.
    package func describing(_ envelope: Envelope, attempt: Int, subscription: SubscriptionInfo) -> Logger {
        var logger = logger
        logger[metadataKey: LogKeys.eventID] = "\(envelope.id)"
        logger[metadataKey: LogKeys.correlationID] = "\(envelope.correlationID ?? CorrelationID(envelope.id))"
        logger[metadataKey: LogKeys.topic] = "\(envelope.topic)"
        logger[metadataKey: LogKeys.group] = "\(subscription.group)"
        logger[metadataKey: LogKeys.subscription] = "\(subscription.name)"
        logger[metadataKey: LogKeys.attempt] = "\(attempt)"
        return logger
    }
}
