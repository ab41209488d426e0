import EventBus

/// The effects of a step of the broker's state, which are performed outside the lock.
///
/// The first hand-over is stored inline, so that a step with a single one allocates nothing.
struct Effects: Sendable {
    /// An item for one consumer.
    struct HandOver: Sendable {
        var port: ConsumerMailbox
        var item: ConsumerMailbox.Item
    }

    /// An answer for a waiting caller.
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

    /// The clock whose time of day the dead letters of the step carry.
    private let clock: AnyClock
    private(set) var firstHandOver: HandOver?
    private(set) var furtherHandOvers: [HandOver] = []
    private(set) var answers: [Answer] = []
    private(set) var closedPorts: [ConsumerMailbox] = []

    init(clock: AnyClock) {
        self.clock = clock
    }

    /// The time of day. It is read only when needed, because most steps bury nothing.
    var wallTime: EventTime { clock.wallTime }

    mutating func handOver(_ item: ConsumerMailbox.Item, to port: ConsumerMailbox) {
        if firstHandOver == nil {
            firstHandOver = HandOver(port: port, item: item)
        } else {
            furtherHandOvers.append(HandOver(port: port, item: item))
        }
    }

    mutating func answer(_ answer: Answer) {
        answers.append(answer)
    }

    mutating func close(_ port: ConsumerMailbox) {
        closedPorts.append(port)
    }

    /// Fixes the order of the hand-overs at their ports. Call it while the lock is held, and ``perform()`` the
    /// remaining effects after releasing it.
    mutating func order() {
        if let first = firstHandOver, !first.port.offer(first.item) { firstHandOver = nil }
        if !furtherHandOvers.isEmpty { furtherHandOvers.removeAll { !$0.port.offer($0.item) } }
        for port in closedPorts { port.close() }
    }

    /// Calls the sinks and resumes waiting callers.
    func perform() {
        if let firstHandOver { firstHandOver.port.carry(firstHandOver.item) }
        for handOver in furtherHandOvers { handOver.port.carry(handOver.item) }
        for answer in answers { answer.give() }
    }
}

/// The outcome of a publish that had to wait.
enum PublishAnswer: Sendable {
    case outcome(PublishOutcome)
    case deadlinePassed(queue: String)
    case cancelled
}

/// The outcome of a request.
enum RequestAnswer: Sendable {
    case reply(Envelope)
    case deadlinePassed
    case cancelled
}
