import EventBus

/// What is to be done outside the lock after a step of the broker's state.
///
/// The first hand-over has a place of its own, so that a step with one of them allocates nothing.
struct Effects: Sendable {
    /// Something for one consumer.
    struct HandOver: Sendable {
        var port: ConsumerPort
        var item: ConsumerPort.Item
    }

    /// An answer for someone who waits.
    enum Answer: Sendable {
        case wake(OneShot<Void>)
        case publish(OneShot<PublishAnswer>, PublishAnswer)
        case request(OneShot<RequestAnswer>, RequestAnswer)

        func give() {
            switch self {
            case .wake(let waiter): waiter.resolve(())
            case .publish(let waiter, let answer): waiter.resolve(answer)
            case .request(let waiter, let answer): waiter.resolve(answer)
            }
        }
    }

    private(set) var firstHandOver: HandOver?
    private(set) var furtherHandOvers: [HandOver] = []
    private(set) var answers: [Answer] = []
    private(set) var closedPorts: [ConsumerPort] = []

    mutating func handOver(_ item: ConsumerPort.Item, to port: ConsumerPort) {
        if firstHandOver == nil {
            firstHandOver = HandOver(port: port, item: item)
        } else {
            furtherHandOvers.append(HandOver(port: port, item: item))
        }
    }

    mutating func answer(_ answer: Answer) {
        answers.append(answer)
    }

    mutating func close(_ port: ConsumerPort) {
        closedPorts.append(port)
    }

    /// Fixes the order of the hand-overs at their ports. Called while the lock is held; what is left in the effects
    /// afterwards is for the caller to ``perform()`` without it.
    mutating func order() {
        if let first = firstHandOver, !first.port.offer(first.item) { firstHandOver = nil }
        if !furtherHandOvers.isEmpty { furtherHandOvers.removeAll { !$0.port.offer($0.item) } }
        for port in closedPorts { port.close() }
    }

    /// Calls the sinks and resumes who waits.
    func perform() {
        if let firstHandOver { firstHandOver.port.carry(firstHandOver.item) }
        for handOver in furtherHandOvers { handOver.port.carry(handOver.item) }
        for answer in answers { answer.give() }
    }
}

/// What became of a publish that had to wait.
enum PublishAnswer: Sendable {
    case outcome(PublishOutcome)
    case deadlinePassed(queue: String)
    case cancelled
}

/// What became of a request.
enum RequestAnswer: Sendable {
    case reply(Envelope)
    case deadlinePassed
    case cancelled
}
