import EventBus

/// What to do next when there is no connection: which host to try, how long to wait, when to give up. Pure.
///
/// All hosts are tried in a random order without a wait; then comes a wait with full jitter, whose bound doubles. A
/// connection that held for a while sets the bound back.
struct RecoveryMachine {
    enum Step: Equatable {
        case connect(RabbitConfiguration.Host)
        case wait(Duration)
    }

    /// How long a connection has to hold for its loss to count as the first.
    static let stableAfter = Duration.seconds(5)

    private let hosts: [RabbitConfiguration.Host]
    private let reconnect: RabbitConfiguration.Reconnect
    private var untried: [RabbitConfiguration.Host] = []
    private var rounds = 0
    private var mustWait = false
    private(set) var wasConnected = false

    init(hosts: [RabbitConfiguration.Host], reconnect: RabbitConfiguration.Reconnect) {
        self.hosts = hosts
        self.reconnect = reconnect
    }

    /// What to do next.
    mutating func next(using generator: inout some RandomNumberGenerator) -> Step {
        if mustWait {
            mustWait = false
            return .wait(bound * Double.random(in: 0...1, using: &generator))
        }
        if untried.isEmpty { untried = hosts.shuffled(using: &generator) }
        return .connect(untried.removeLast())
    }

    /// No session came about. Returns whether it is worth trying again.
    mutating func failed(_ failure: AMQPFailure) -> Bool {
        // A broker that knew us before may refuse us while it restarts.
        if !wasConnected, Self.isPermanent(failure) { return false }
        if untried.isEmpty {
            rounds += 1
            mustWait = true
        }
        return true
    }

    /// There is a session.
    mutating func connected() {
        wasConnected = true
        untried = []
    }

    /// The session ended after it had held for `duration`.
    mutating func lost(after duration: Duration) {
        untried = []
        rounds = duration >= Self.stableAfter ? 1 : rounds + 1
        mustWait = true
    }

    private var bound: Duration {
        min(reconnect.initial * (1 << min(max(rounds - 1, 0), 20)), reconnect.maximum)
    }

    /// Whether the broker refused who we are or where we want to go.
    static func isPermanent(_ failure: AMQPFailure) -> Bool {
        switch failure.kind {
        case .connectionClosed(AMQPFailure.accessRefused), .connectionClosed(AMQPFailure.notAllowed), .tlsFailed: true
        default: false
        }
    }
}
