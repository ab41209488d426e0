/// A disturbance of the fleet while it works.
public enum Disturbance: Hashable, Sendable {
    /// No disturbance.
    case none
    /// Every member, including the brokers, is killed several times and started again, at times derived from the seed.
    case chaos(seed: UInt64, strikes: Int)
    /// Every service is stopped with SIGTERM and started again, one process after another.
    case rolling
    /// RabbitMQ is stopped for this time.
    case rabbitMQStop(Duration)

    /// The time over which orders are spread if no rate is given, so that the whole disturbance is part of the run.
    var defaultWindow: Duration? {
        switch self {
        case .none: nil
        case .chaos(_, let strikes): .seconds(30 * max(1, strikes))
        case .rolling: .seconds(20)
        case .rabbitMQStop(let duration): duration + .seconds(15)
        }
    }
}
