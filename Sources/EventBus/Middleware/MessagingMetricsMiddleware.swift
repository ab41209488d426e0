package import CoreMetrics

/// Middleware with the metrics of OpenTelemetry's conventions for messaging, through swift-metrics.
///
/// It is for dashboards that show several messaging systems. It is no part of the default middleware, because
/// ``MetricsMiddleware`` measures the same and more:
///
/// ```swift
/// let conventions = MessagingMetricsMiddleware()
/// configuration.publishMiddleware.append(conventions)
/// configuration.consumeMiddleware.append(conventions)
/// ```
///
/// | metric | kind | counts or times |
/// |---|---|---|
/// | `messaging.client.sent.messages` | counter | publishes |
/// | `messaging.client.operation.duration` | timer | publishes |
/// | `messaging.client.consumed.messages` | counter | attempts at handling an event |
/// | `messaging.process.duration` | timer | attempts at handling an event |
///
/// Every metric has the labels `messaging.system` and `messaging.operation.name` (`publish` or `process`), and
/// `error.type` if the operation failed, with the same values as the span of a ``TracingMiddleware``. Publishes have the
/// label `messaging.destination.name`, which is the topic. After the first ``MetricsMiddleware/maximumTopics`` topics,
/// further ones are counted under `other`. Attempts have `messaging.destination.template`, which is the subscription's
/// pattern, `messaging.destination.subscription.name` and `messaging.consumer.group.name`. Durations also have
/// `messaging.operation.type` (`send`).
public final class MessagingMetricsMiddleware: PublishMiddleware, ConsumeMiddleware, PromptMiddleware {
    private let fixedFactory: (any MetricsFactory)?
    private let system: String?
    private let topics = Locked<Set<Topic>>([])

    /// Creates a step that uses the bootstrapped metrics system.
    ///
    /// - Parameter system: The value of `messaging.system`. Defaults to the name of the bus's transport, such as `rabbitmq`.
    public init(system: String? = nil) {
        fixedFactory = nil
        self.system = system
    }

    package init(factory: any MetricsFactory, system: String? = nil) {
        fixedFactory = factory
        self.system = system
    }

    private var factory: any MetricsFactory { fixedFactory ?? MetricsSystem.factory }

    /// A Boolean value indicating whether the service has bootstrapped a metrics system.
    public var isActive: Bool { !(factory is NOOPMetricsHandler) }

    /// Counts and times the publish.
    public func publish(
        _ event: OutgoingEvent,
        next: PublishNext
    ) async throws -> PublishReceipt {
        let start = ContinuousClock.now
        func record(_ error: (any Error)?) {
            let labels =
                labels("publish", event.transportName, error) + [
                    ("messaging.destination.name", label(for: event.envelope.topic))
                ]
            count("messaging.client.sent.messages", labels)
            let timed = labels + [("messaging.operation.type", "send")]
            time("messaging.client.operation.duration", timed, since: start)
        }
        do {
            let receipt = try await next(event)
            record(nil)
            return receipt
        } catch {
            record(error)
            throw error
        }
    }

    /// Counts and times an attempt.
    public func consume(
        _ context: EventContext,
        next: ConsumeNext
    ) async throws {
        let start = ContinuousClock.now
        func record(_ error: (any Error)?) {
            let labels =
                labels("process", context.transportName, error) + [
                    ("messaging.destination.template", context.subscription.pattern),
                    ("messaging.destination.subscription.name", context.subscription.name),
                    ("messaging.consumer.group.name", context.subscription.group),
                ]
            count("messaging.client.consumed.messages", labels)
            time("messaging.process.duration", labels, since: start)
        }
        do {
            try await next(context)
            record(nil)
        } catch let error as any UncountedError {
            record(nil)
            throw error
        } catch {
            record(error)
            throw error
        }
    }

    private func labels(
        _ operation: String,
        _ transportName: String?,
        _ error: (any Error)?
    ) -> [(String, String)] {
        let system = MessagingConventions.system(system, transportName: transportName)
        let labels = [("messaging.system", system), ("messaging.operation.name", operation)]
        guard let error else { return labels }
        return labels + [("error.type", MessagingConventions.errorType(of: error))]
    }

    private func count(_ label: String, _ labels: [(String, String)]) {
        Counter(label: label, dimensions: labels, factory: factory).increment()
    }

    private func time(_ label: String, _ labels: [(String, String)], since start: ContinuousClock.Instant) {
        Timer(label: label, dimensions: labels, factory: factory).recordNanoseconds(start.nanosecondsToNow)
    }

    /// Returns the label of a published topic.
    private func label(for topic: Topic) -> String {
        let isKnown = topics.withLock { topics in
            if topics.contains(topic) { return true }
            guard topics.count < MetricsMiddleware.maximumTopics else { return false }
            return topics.insert(topic).inserted
        }
        return isKnown ? topic.rawValue : "other"
    }
}
