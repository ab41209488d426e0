import EventBus
import EventBusRabbit
import TerminalText

/// The work of retiring queues one by one.
struct Retirement: Sendable {
    /// The outcome for a queue.
    struct Result: Encodable, Sendable {
        enum Outcome: String, Encodable, Sendable {
            case retired
            case wouldBeRetired = "would_be_retired"
            case missing
            case kept
        }

        var queue: String
        var outcome: Outcome
        /// The number of events that were moved, or would be.
        var moved = 0
        /// The reason why the queue was kept.
        var reason: String?
        /// The failure that ends the command, or `nil`.
        var failure: CommandFailure?

        private enum CodingKeys: String, CodingKey {
            case queue, outcome, moved, reason
        }

        /// The line for people to read.
        var line: String {
            let events = moved > 0 ? "\(moved.counted("event")) moved" : nil
            return switch outcome {
            case .retired: "\(queue): " + [events, "deleted"].compactMap(\.self).joined(separator: ", ")
            case .wouldBeRetired:
                "\(queue): would be deleted" + (moved > 0 ? " after \(moved.counted("event")) were moved" : "")
            case .missing: "\(queue): already gone"
            case .kept: "\(queue): kept; " + [events, reason].compactMap(\.self).joined(separator: "; ")
            }
        }
    }

    let broker: Broker
    /// The subscription to whose queue events are moved.
    let target: RabbitTopology.Subscription?
    let isDryRun: Bool

    /// The number of times that a queue is emptied before it is given up. Events that consumers held return later.
    private static let maximumRounds = 5

    /// The codes of errors after which no other queue can be retired either.
    private static let finalCodes: Set<EventBusError.Code> = [
        .accessRefused, .authenticationFailed, .unavailable, .timedOut,
    ]

    /// Checks that the target exists.
    func checkTarget() async throws {
        guard let target else { return }
        if try await state(of: target.queue).isMissing {
            throw CommandFailure("the broker has no queue \(target.queue.printable); declare it with topology apply")
        }
    }

    /// Retires a queue, unless events or consumers remain.
    func retire(_ retired: TopologyRevision.Retired, _ interruption: Interruption) async throws -> Result {
        var result = Result(queue: retired.subscription.queue, outcome: .kept)
        do {
            return try await retire(retired, &result, interruption)
        } catch let error as EventBusError {
            result.reason = error.message
            if Self.finalCodes.contains(error.code) { result.failure = CommandFailure(error) }
            return result
        } catch is CancellationError {
            result.reason = "stopped at once; more of its events may have been moved"
            result.failure = CommandFailure("interrupted", status: CommandFailure.interrupted)
            return result
        }
    }

    private func retire(
        _ retired: TopologyRevision.Retired,
        _ result: inout Result,
        _ interruption: Interruption
    ) async throws -> Result {
        let subscription = retired.subscription
        let patterns = try (subscription.patterns + subscription.formerPatterns).map {
            try TopicPattern(validating: $0)
        }
        var broker = broker
        broker.configuration.exchange = retired.exchange
        if subscription.queue != "\(subscription.group).\(subscription.name)" {
            broker.configuration.queues["\(subscription.group).\(subscription.name)"] = .init(name: subscription.queue)
        }
        func kept(_ reason: String) -> Result {
            result.reason = reason
            return result
        }
        if retired.isForeign { return kept("it belongs to another system") }
        for round in 0..<Self.maximumRounds {
            let state = try await state(of: subscription.queue)
            if state.isMissing {
                result.outcome = round == 0 ? .missing : .retired
                return result
            }
            guard let events = state.events, let consumers = state.consumers else {
                return kept("it cannot be used: \(state.problem ?? "no reason is given")")
            }
            if consumers > 0 {
                return kept("\(consumers.counted("consumer")); stop the instances of the earlier release first")
            }
            if events > 0, target == nil {
                return kept(
                    "it holds \(events.counted("event")); let an instance of the earlier release handle them, or give "
                        + "--move-to"
                )
            }
            if isDryRun {
                (result.outcome, result.moved) = (.wouldBeRetired, events)
                return result
            }
            do {
                // It unbinds first, so that the queue gets no new events.
                try await RabbitTransport.retireQueue(
                    group: subscription.group,
                    name: subscription.name,
                    patterns: patterns,
                    on: broker.configuration,
                    logger: broker.options.logger
                )
                result.outcome = .retired
                return result
            } catch let error as EventBusError where error.code == .rejected {
                guard let target else { return kept(error.message) }
                do {
                    let (moved, refused) = try await move(subscription.queue, to: target, broker, interruption)
                    result.moved += moved
                    if refused > 0 {
                        return kept(
                            "\(target.queue) does not accept the topics of \(refused.counted("event")); it gets no "
                                + "new ones"
                        )
                    }
                } catch let error as EventBusError {
                    result.moved += error.completedCount ?? 0
                    throw error
                }
                if interruption.isRequested { return kept("interrupted; it gets no new events") }
            }
        }
        return kept("it got events again each time it was emptied")
    }

    /// Moves the events of a queue, and returns their number and that of those that the target does not accept.
    private func move(
        _ queue: String,
        to target: RabbitTopology.Subscription,
        _ broker: Broker,
        _ interruption: Interruption
    ) async throws -> (moved: Int, refused: Int) {
        let patterns = try target.patterns.map { try TopicPattern(validating: $0) }
        let refused = Counter()
        return try await broker.withTransport { transport in
            let progress = Progress()
            defer { progress.finish() }
            let seen = Counter()
            let moved = try await transport.waitingEvents(in: queue).replay(
                options: ReplayOptions(queue: target.queue)
            ) {
                interruption.isRequested
            } where: { letter in
                guard patterns.contains(where: { $0.matches(letter.envelope.topic) }) else {
                    refused.increment()
                    return false
                }
                let count = seen.increment()
                progress.show("\(queue): \(count.grouped) events moved")
                return true
            }
            return (moved, refused.value)
        }
    }

    private func state(of queue: String) async throws -> BrokerInspection.Queue {
        try await RabbitTransport.inspect(
            queues: [queue],
            on: broker.configuration,
            logger: broker.options.logger
        ).queues[0]
    }
}
