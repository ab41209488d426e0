import ConnectionThread
import EventBus

/// A restorer that republishes delayed events that were due while their queue was missing: retries to the queues of
/// this service, and scheduled events that match its subscriptions.
///
/// It works after this service has restored something, and for as long as there are such events, because another
/// service may have restored what was missing, or nobody saw it missing.
struct DelayRestorer: Sendable {
    let tools: DeadLetterTools

    /// The pauses before the passes after a restoration. There are two, because another instance that restores at the same
    /// time may hold events of this service during the first one.
    private static let pauses = [Duration.seconds(1), .seconds(4)]
    private static let publishTimeout = Duration.seconds(30)
    /// The time for which the end of the transport waits for the outcome of what was sent.
    private static let grace = Duration.seconds(1)
    /// The headers that contain the count and the failure of a retry.
    private static let kept = [
        WireHeaders.attempts, WireHeaders.deferred, WireHeaders.lastFailure, WireHeaders.errorType,
        WireHeaders.errorMessage,
    ]

    /// Makes passes until the task is cancelled.
    func run(_ delays: MissedDelays) async {
        var schedule = PassSchedule()
        for await _ in delays.occasions {
            let occasion = delays.take()
            if occasion.isAttached { schedule.reset() }
            for pause in occasion.isRestored ? Self.pauses : [] {
                try? await Task.sleep(for: pause)
                guard !Task.isCancelled else { return }
                await pass(&schedule)
            }
            if let count = occasion.sighted, schedule.isDue(with: count, at: .now) { await pass(&schedule) }
        }
    }

    private func pass(_ schedule: inout PassSchedule) async {
        do {
            let (sent, kept) = try await pass()
            schedule.passed(over: sent + kept, at: .now)
            guard sent > 0 else { return }
            tools.logger.info("sent delayed events whose queue was missing", metadata: ["events": "\(sent)"])
        } catch {
            schedule.passed(over: nil, at: .now)
            tools.logger.info(
                "delayed events whose queue is missing remain stored",
                metadata: ["reason": "\(error)"]
            )
        }
    }

    /// Reads the unroutable events once, and returns the number of those that were republished and of the others.
    private func pass() async throws -> (sent: Int, kept: Int) {
        try await LetterPass(tools: tools, queue: TopologyNames.delayUnroutable).run { reader in
            var (count, kept) = (0, 0)
            while !tools.isEnding, let entry = try await reader.next() {
                if let copy = copy(of: entry.message), await send(copy) {
                    await reader.acknowledge(entry)
                    count += 1
                } else {
                    reader.keep(entry)
                    kept += 1
                }
            }
            return (count, kept)
        }.result.get()
    }

    private func send(_ publish: AMQPPublish) async -> Bool {
        let (publisher, deadline) = (tools.publisher, MonotonicTime.now.advanced(by: Self.publishTimeout))
        // Whether the broker has the copy decides whether the event stays, also if the transport ends meanwhile.
        return await withGrace(Self.grace) {
            (try? await publisher.publish(publish, outcome: .scheduled, deadline: deadline)) == .scheduled
        }
    }

    /// Returns the copy of an event to publish, or `nil` if the event is not for this service or cannot be copied
    /// losslessly.
    private func copy(of message: AMQPMessage) -> AMQPPublish? {
        guard message.refusedSize == nil, message.properties.isLossless else { return nil }
        let key = message.routingKey
        let (exchange, routingKey): (String, String)
        if let topic = DelayRoute.scheduledTopic(in: key) {
            guard tools.managers.expects(topic) else { return nil }
            (exchange, routingKey) = (TopologyNames.delayExit, key)
        } else {
            (exchange, routingKey) = ("", DelayRoute.queue(in: key) ?? key)
            guard tools.managers.owns(routingKey) else { return nil }
        }
        // The receiver trusts every message from the default exchange.
        let route = ArrivalRoute(of: message, in: routingKey, events: tools.configuration.exchange)
        let headers = message.properties.headers
        let topic: String?
        switch route {
        case .scheduled(let scheduled): topic = scheduled
        case .misrouted: return nil
        default: topic = headers[WireHeaders.topic]?.string
        }
        var properties = message.properties.forRepublish(
            id: message.eventID,
            topic: topic.flatMap { try? Topic(validating: $0) },
            from: message,
            isTrusted: route.isTrusted
        )
        if route.isTrusted { for name in Self.kept { properties.headers[name] = headers[name] } }
        return AMQPPublish(exchange: exchange, routingKey: routingKey, properties: properties, body: message.body)
    }
}
