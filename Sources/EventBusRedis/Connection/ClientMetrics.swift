import CoreMetrics
import EventBus
import Metrics

/// The metrics of a client, under `eventbus.redis.`. Their handlers are called by a separate task, because they are user
/// code and must not delay the connections' thread.
final class ClientMetrics: Sendable {
    /// A measurement that was not passed to the handlers yet.
    enum Measurement: Sendable {
        case command(CommandMetrics, CommandMetrics.Outcome, nanoseconds: Int64)
        case meter(Meter, change: Double)
        case count(Counter)

        fileprivate func record() {
            switch self {
            case .command(let metrics, let outcome, let nanoseconds): metrics.record(outcome, after: nanoseconds)
            case .meter(let meter, let change):
                if change < 0 { meter.decrement(by: -change) } else { meter.increment(by: change) }
            case .count(let counter): counter.increment()
            }
        }
    }

    /// The queue of the measurements.
    typealias Queue = BackgroundQueue<Measurement>

    private let factory: any MetricsFactory
    private let queue: Queue
    private let commands = Locked<[String: CommandMetrics]>([:])

    /// The maximum number of command names with metrics of their own.
    static let maximumNames = 200
    /// The maximum number of measurements that wait for the handlers.
    static let capacity = 1 << 16

    /// Creates the metrics, or returns `nil` if nobody collects them, so that commands do not read the clock.
    init?(_ factory: any MetricsFactory, logger: BackgroundLogger) {
        if factory is NOOPMetricsHandler { return nil }
        self.factory = factory
        queue = Queue(capacity: Self.capacity, pause: .milliseconds(50)) { measurements, dropped in
            for measurement in measurements { measurement.record() }
            if dropped > 0 {
                logger.warning(
                    "metrics of Redis are incomplete, because their handlers are slow",
                    metadata: ["dropped": "\(dropped)"]
                )
            }
        }
    }

    /// Returns the metrics of the commands with the name of `command`.
    func metrics(of command: RedisCommand) -> CommandMetrics {
        commands.withLock { commands in
            if let known = commands[command.label] { return known }
            let isOther = commands.count >= Self.maximumNames
            let key = isOther ? "other" : command.label
            if isOther, let other = commands[key] { return other }
            let made = CommandMetrics(key, factory, queue)
            commands[key] = made
            return made
        }
    }

    /// Returns the metrics of one connection.
    func connection(_ kind: ConnectionMetrics.Kind) -> ConnectionMetrics { ConnectionMetrics(kind, factory, queue) }
}

/// The metrics of the commands with one name, by outcome.
final class CommandMetrics: Sendable {
    /// The outcome of a command.
    enum Outcome: Sendable {
        case success
        case error
        case cancelled
        /// No reply arrived.
        case failure(EventBusError.Code)

        fileprivate var label: String {
            switch self {
            case .success: "success"
            case .error: "error"
            case .cancelled: "cancelled"
            case .failure(let code): code.description
            }
        }
    }

    private let name: String
    private let factory: any MetricsFactory
    private let queue: ClientMetrics.Queue
    /// The handlers of the most common outcomes, which are created when the first command has ended.
    private let handlers = Locked<(duration: Metrics.Timer, success: Counter)?>(nil)

    init(_ name: String, _ factory: any MetricsFactory, _ queue: ClientMetrics.Queue) {
        self.name = name
        self.factory = factory
        self.queue = queue
    }

    /// Notes the end of a command that began `nanoseconds` ago.
    func note(_ result: Result<RedisValue, any Error>, after nanoseconds: Int64) {
        let outcome: Outcome =
            switch result {
            case .success(.error): .error
            case .success: .success
            case .failure(let error as EventBusError): .failure(error.code)
            case .failure(let error): error is CancellationError ? .cancelled : .error
            }
        queue.add(.command(self, outcome, nanoseconds: nanoseconds))
    }

    fileprivate func record(_ outcome: Outcome, after nanoseconds: Int64) {
        let (duration, success) = handlers.withLock { handlers in
            if let handlers { return handlers }
            let made = (
                Metrics.Timer(
                    label: "eventbus.redis.command.duration",
                    dimensions: [("command", name)],
                    factory: factory
                ), counter(.success)
            )
            handlers = made
            return made
        }
        switch outcome {
        case .success: success.increment()
        case .error, .cancelled, .failure: counter(outcome).increment()
        }
        switch outcome {
        case .success, .error: duration.recordNanoseconds(nanoseconds)
        case .cancelled, .failure: break
        }
    }

    private func counter(_ outcome: Outcome) -> Counter {
        Counter(
            label: "eventbus.redis.commands",
            dimensions: [("command", name), ("outcome", outcome.label)],
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

    private let queue: ClientMetrics.Queue
    private let connected: Meter
    private let breakers: Meter
    private let inFlight: Meter
    private let reconnects: Counter
    private var wasConnected = false
    private var isConnected = false
    private var isRefusing = false
    private var lastInFlight = 0

    init(_ kind: Kind, _ factory: any MetricsFactory, _ queue: ClientMetrics.Queue) {
        self.queue = queue
        let labels = [("connection", kind.rawValue)]
        connected = Meter(label: "eventbus.redis.connected", dimensions: labels, factory: factory)
        breakers = Meter(label: "eventbus.redis.breakers_open", dimensions: labels, factory: factory)
        inFlight = Meter(label: "eventbus.redis.in_flight", dimensions: labels, factory: factory)
        reconnects = Counter(label: "eventbus.redis.reconnects", dimensions: labels, factory: factory)
    }

    /// Notes whether the server has answered the greeting.
    mutating func note(isConnected: Bool) {
        guard isConnected != self.isConnected else { return }
        self.isConnected = isConnected
        if !isConnected { note(inFlight: 0) }
        queue.add(.meter(connected, change: isConnected ? 1 : -1))
        guard isConnected else { return }
        if wasConnected { queue.add(.count(reconnects)) }
        wasConnected = true
    }

    /// Notes whether the circuit breaker refuses commands.
    mutating func note(isRefusing: Bool) {
        guard isRefusing != self.isRefusing else { return }
        self.isRefusing = isRefusing
        queue.add(.meter(breakers, change: isRefusing ? 1 : -1))
    }

    /// Notes the number of commands in flight.
    mutating func note(inFlight count: Int) {
        guard count != lastInFlight else { return }
        queue.add(.meter(inFlight, change: Double(count - lastInFlight)))
        lastInFlight = count
    }
}
