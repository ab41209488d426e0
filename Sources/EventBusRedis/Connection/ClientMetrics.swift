import CoreMetrics
import EventBus
import Metrics

/// The metrics of a client, under `eventbus.redis.`.
final class ClientMetrics: Sendable {
    private let factory: any MetricsFactory
    private let commands = Locked<[String: CommandMetrics]>([:])

    /// The maximum number of command names that are told apart.
    static let maximumNames = 200

    /// Creates the metrics, or returns `nil` if nobody collects them, so that commands do not read the clock.
    init?(_ factory: any MetricsFactory) {
        if factory is NOOPMetricsHandler { return nil }
        self.factory = factory
    }

    /// Returns the metrics of the commands with the name of `command`.
    func metrics(of command: RedisCommand) -> CommandMetrics {
        commands.withLock { commands in
            if let known = commands[command.label] { return known }
            let isOther = commands.count >= Self.maximumNames
            let key = isOther ? "other" : command.label
            if isOther, let other = commands[key] { return other }
            let made = CommandMetrics(key, factory)
            commands[key] = made
            return made
        }
    }

    /// Returns the metrics of one connection.
    func connection(_ kind: ConnectionMetrics.Kind) -> ConnectionMetrics { ConnectionMetrics(kind, factory) }
}

/// The metrics of the commands with one name, by outcome.
final class CommandMetrics: Sendable {
    private let name: String
    private let factory: any MetricsFactory
    private let duration: Metrics.Timer
    private let succeeded: Counter
    private let refused: Counter

    init(_ name: String, _ factory: any MetricsFactory) {
        self.name = name
        self.factory = factory
        duration = Metrics.Timer(
            label: "eventbus.redis.command.duration",
            dimensions: [("command", name)],
            factory: factory
        )
        succeeded = Self.counter(name, "success", factory)
        refused = Self.counter(name, "error", factory)
    }

    /// Records the end of a command that began `nanoseconds` ago.
    func note(_ result: Result<RedisValue, any Error>, after nanoseconds: Int64) {
        switch result {
        case .success(.error): refused.increment()
        case .success: succeeded.increment()
        case .failure(let error):
            let code = (error as? EventBusError)?.code.description
            return Self.counter(name, code ?? (error is CancellationError ? "cancelled" : "error"), factory).increment()
        }
        duration.recordNanoseconds(nanoseconds)
    }

    private static func counter(_ name: String, _ outcome: String, _ factory: any MetricsFactory) -> Counter {
        Counter(
            label: "eventbus.redis.commands",
            dimensions: [("command", name), ("outcome", outcome)],
            factory: factory
        )
    }
}

/// The metrics of one connection. Connections of the same kind share their labels, so every value is a sum.
struct ConnectionMetrics {
    /// The purpose of a connection.
    enum Kind: String {
        case commands
        case values
        case messages
    }

    private let connected: Meter
    private let breakers: Meter
    private let inFlight: Meter
    private let reconnects: Counter
    private var wasConnected = false
    private var isConnected = false
    private var isRefusing = false
    private var lastInFlight = 0

    init(_ kind: Kind, _ factory: any MetricsFactory) {
        let labels = [("connection", kind.rawValue)]
        connected = Meter(label: "eventbus.redis.connected", dimensions: labels, factory: factory)
        breakers = Meter(label: "eventbus.redis.breakers_open", dimensions: labels, factory: factory)
        inFlight = Meter(label: "eventbus.redis.in_flight", dimensions: labels, factory: factory)
        reconnects = Counter(label: "eventbus.redis.reconnects", dimensions: labels, factory: factory)
    }

    /// Records whether the server has answered the greeting.
    mutating func note(isConnected: Bool) {
        guard isConnected != self.isConnected else { return }
        self.isConnected = isConnected
        guard isConnected else {
            note(inFlight: 0)
            return connected.decrement()
        }
        connected.increment()
        if wasConnected { reconnects.increment() }
        wasConnected = true
    }

    /// Records whether the circuit breaker refuses commands.
    mutating func note(isRefusing: Bool) {
        guard isRefusing != self.isRefusing else { return }
        self.isRefusing = isRefusing
        if isRefusing { breakers.increment() } else { breakers.decrement() }
    }

    /// Records the number of commands in flight.
    mutating func note(inFlight count: Int) {
        if count > lastInFlight { inFlight.increment(by: Double(count - lastInFlight)) }
        if count < lastInFlight { inFlight.decrement(by: Double(lastInFlight - count)) }
        lastInFlight = count
    }
}
