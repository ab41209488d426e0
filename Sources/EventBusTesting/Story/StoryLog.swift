import EventBus

/// The publishes and attempts that passed a recorder, in the order in which they began.
struct StoryLog: Sendable {
    /// An event, which is identified by its topic and id.
    struct EventKey: Hashable, Sendable {
        let topic: Topic
        let id: EventID

        init(_ envelope: Envelope) {
            topic = envelope.topic
            id = envelope.id
        }
    }

    /// An attempt to publish an event.
    struct Publish: Sendable {
        /// The outcome, or the text of the error, or `nil` while it is under way.
        var result: Result<PublishOutcome, StoryText>?
        let delay: Duration
        /// The event whose handler published this one.
        let causationID: EventID?
    }

    /// An attempt to handle an event.
    struct Attempt: Sendable {
        let queue: String
        let number: Int
        /// A Boolean value indicating whether the attempt reached the middleware. An event that cannot be decoded does not.
        var hasBegun = true
        /// The time at which the handler returned or threw, or `nil` if it has not.
        var end: AnyClock.Instant?
        /// A Boolean value indicating whether an inbox kept the handler from running.
        var isDuplicate = false
        /// The outcome, or `nil` if it is not known yet.
        var disposition: Disposition?
    }

    enum Kind: Sendable {
        case publish(Publish)
        case attempt(Attempt)
    }

    struct Step: Sendable {
        let time: AnyClock.Instant
        let event: EventKey
        var kind: Kind
    }

    /// The position of a step, which is invalid after a reset.
    struct Position: Sendable {
        fileprivate let generation: Int
        fileprivate let index: Int
    }

    private struct AttemptKey: Hashable {
        let event: EventKey
        let queue: String
        let number: Int
    }

    private(set) var steps: [Step] = []
    /// The positions of the attempts without an outcome.
    private var unsettled: [AttemptKey: Int] = [:]
    private var generation = 0

    /// Removes all steps.
    mutating func reset() {
        steps = []
        unsettled = [:]
        generation += 1
    }

    mutating func beginPublish(_ event: OutgoingEvent, at time: AnyClock.Instant) -> Position {
        let publish = Publish(delay: event.delay, causationID: event.envelope.causationID)
        return append(Step(time: time, event: EventKey(event.envelope), kind: .publish(publish)))
    }

    mutating func endPublish(_ position: Position, _ result: Result<PublishOutcome, StoryText>) {
        guard position.generation == generation, case .publish(var publish) = steps[position.index].kind else { return }
        publish.result = result
        steps[position.index].kind = .publish(publish)
    }

    mutating func beginAttempt(_ context: EventContext, at time: AnyClock.Instant) -> Position {
        let event = EventKey(context.envelope)
        let attempt = Attempt(queue: context.subscription.queueName, number: context.attempt)
        let position = append(Step(time: time, event: event, kind: .attempt(attempt)))
        unsettled[AttemptKey(event: event, queue: attempt.queue, number: attempt.number)] = position.index
        return position
    }

    mutating func endAttempt(_ position: Position, isDuplicate: Bool, at time: AnyClock.Instant) {
        guard position.generation == generation, case .attempt(var attempt) = steps[position.index].kind else { return }
        attempt.end = time
        attempt.isDuplicate = isDuplicate
        steps[position.index].kind = .attempt(attempt)
    }

    mutating func settle(_ delivery: SettledDelivery, at time: AnyClock.Instant) {
        let event = EventKey(delivery.envelope)
        let queue = delivery.subscription.queueName
        // A deferred attempt is reported with the number of the attempt before.
        for number in [delivery.attempt, delivery.attempt + 1] {
            let key = AttemptKey(event: event, queue: queue, number: number)
            guard let index = unsettled.removeValue(forKey: key), case .attempt(var attempt) = steps[index].kind else {
                continue
            }
            attempt.disposition = delivery.disposition
            steps[index].kind = .attempt(attempt)
            return
        }
        // No handler began, for example because the event cannot be decoded.
        let attempt = Attempt(
            queue: queue,
            number: delivery.attempt,
            hasBegun: false,
            end: time,
            disposition: delivery.disposition
        )
        _ = append(Step(time: time, event: event, kind: .attempt(attempt)))
    }

    private mutating func append(_ step: Step) -> Position {
        steps.append(step)
        return Position(generation: generation, index: steps.count - 1)
    }
}
