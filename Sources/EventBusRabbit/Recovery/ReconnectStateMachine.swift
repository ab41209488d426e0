import EventBus

/// The state machine of reconnecting: the host to try, the delay, and the decision to give up.
///
/// All hosts are tried in random order without a delay. Then a delay with full jitter follows, whose bound doubles. A
/// connection that lasted for a while resets the bound. Further attempts are useless only if every host refuses the
/// login repeatedly and from the beginning.
struct ReconnectStateMachine {
    enum Step: Equatable {
        case connect(RabbitConfiguration.Host)
        case wait(Duration)
    }

    /// The time after which a lost connection resets the delay.
    static let stableAfter = Duration.seconds(5)

    private let hosts: [RabbitConfiguration.Host]
    private let reconnect: ReconnectDelays
    private var untried: [RabbitConfiguration.Host] = []
    private var rounds = 0
    private var mustWait = false
    /// The number of hosts in this round that refused the login.
    private var refusals = 0
    private var refusedRounds = 0
    private(set) var wasConnected: Bool

    /// The number of consecutive rounds in which every host has to refuse the login before the machine gives up. A
    /// broker whose user database is temporarily unavailable refuses everyone.
    static let maximumRefusedRounds = 3

    /// Creates the state machine of one connection.
    ///
    /// - Parameter wasConnected: `true` if another connection of the transport has been accepted before.
    init(hosts: [RabbitConfiguration.Host], reconnect: ReconnectDelays, wasConnected: Bool = false) {
        self.hosts = hosts
        self.reconnect = reconnect
        self.wasConnected = wasConnected
    }

    /// Returns the next step.
    mutating func next(using generator: inout some RandomNumberGenerator) -> Step {
        if mustWait {
            mustWait = false
            return .wait(bound * Double.random(in: 0...1, using: &generator))
        }
        if untried.isEmpty { untried = hosts.shuffled(using: &generator) }
        return .connect(untried.removeLast())
    }

    /// Records a failed attempt. Returns `true` if another attempt may succeed.
    mutating func failed(_ failure: AMQPFailure) -> Bool {
        if Self.isRefusal(failure) { refusals += 1 }
        guard untried.isEmpty else { return true }
        rounds += 1
        mustWait = true
        refusedRounds = refusals == hosts.count ? refusedRounds + 1 : 0
        refusals = 0
        // A broker that accepted the login before may refuse it while it restarts.
        return wasConnected || refusedRounds < Self.maximumRefusedRounds
    }

    /// Records an established session.
    mutating func connected() {
        wasConnected = true
        untried = []
        refusals = 0
        refusedRounds = 0
    }

    /// Records the end of a session that lasted for `duration`.
    mutating func lost(after duration: Duration) {
        untried = []
        rounds = duration >= Self.stableAfter ? 1 : rounds + 1
        mustWait = true
    }

    private var bound: Duration {
        min(reconnect.initial * (1 << min(max(rounds - 1, 0), 20)), reconnect.maximum)
    }

    /// Returns a Boolean value indicating whether the broker refused the user or the virtual host. A limit on
    /// connections is temporary.
    static func isRefusal(_ failure: AMQPFailure) -> Bool {
        switch failure.kind {
        case .connectionClosed(AMQPFailure.accessRefused), .tlsFailed: true
        case .connectionClosed(AMQPFailure.notAllowed): !failure.text.contains("limit")
        default: false
        }
    }
}
