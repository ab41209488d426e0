import EventBus

/// What to do next when there is no connection: which host to try, how long to wait, when to give up. Pure.
///
/// All hosts are tried in a random order without a wait; then comes a wait with full jitter, whose bound doubles. A
/// connection that held for a while sets the bound back. Only where every host refuses us, repeatedly and from the
/// beginning, is there no use in going on.
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
    /// How many hosts of this round refused us, and how many rounds in a row they all did.
    private var refusals = 0
    private var refusedRounds = 0
    private(set) var wasConnected = false

    /// How many rounds in a row every host has to refuse us before that is the end: one whose own source of users is away
    /// for a moment refuses everyone.
    static let maximumRefusedRounds = 3

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
        if Self.isRefusal(failure) { refusals += 1 }
        guard untried.isEmpty else { return true }
        rounds += 1
        mustWait = true
        refusedRounds = refusals == hosts.count ? refusedRounds + 1 : 0
        refusals = 0
        // A broker that knew us before may refuse us while it restarts.
        return wasConnected || refusedRounds < Self.maximumRefusedRounds
    }

    /// There is a session.
    mutating func connected() {
        wasConnected = true
        untried = []
        refusals = 0
        refusedRounds = 0
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

    /// Whether the broker refused who we are or where we want to go; a limit on connections passes.
    static func isRefusal(_ failure: AMQPFailure) -> Bool {
        switch failure.kind {
        case .connectionClosed(AMQPFailure.accessRefused), .tlsFailed: true
        case .connectionClosed(AMQPFailure.notAllowed): !failure.text.contains("limit")
        default: false
        }
    }
}
