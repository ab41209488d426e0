/// What is done to the fleet while it works.
public enum Disturbance: Hashable, Sendable {
    /// Nothing.
    case none
    /// Every member, the brokers included, is killed so many times and started again, at moments drawn from the seed.
    case chaos(seed: UInt64, strikes: Int)
    /// Every service is stopped with SIGTERM and started again, one process after another.
    case rolling
    /// RabbitMQ is stopped for this time.
    case rabbitMQStop(Duration)

    /// How long the orders are stretched unless a rate is given, so that all of it falls into the run.
    var defaultWindow: Duration? {
        switch self {
        case .none: nil
        case .chaos(_, let strikes): .seconds(30 * max(1, strikes))
        case .rolling: .seconds(20)
        case .rabbitMQStop(let duration): duration + .seconds(15)
        }
    }
}
