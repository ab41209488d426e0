package import Configuration

/// The delays before a client of a server reconnects. RabbitMQ, Redis and PostgreSQL have the same settings.
///
/// The n-th delay is random between zero and `initial × 2^(n − 1)`, at most ``maximum``, so that a fleet does not
/// reconnect in step.
///
/// ```swift
/// configuration.reconnect = ReconnectDelays(initial: .milliseconds(50), maximum: .seconds(10))
/// ```
public struct ReconnectDelays: Hashable, Sendable {
    /// The upper bound of the first delay. Defaults to 100 ms.
    public var initial: Duration
    /// The maximum of the upper bound. Defaults to 5 s.
    public var maximum: Duration

    /// Creates delays with these bounds.
    public init(initial: Duration = .milliseconds(100), maximum: Duration = .seconds(5)) {
        self.initial = initial
        self.maximum = maximum
    }

    /// Checks that no bound is negative.
    ///
    /// - Throws: ``EventBusError`` with code `.invalidConfiguration`, which names the value.
    package func validate() throws(EventBusError) {
        for (name, value) in [("initial", initial), ("maximum", maximum)] where value < .zero {
            throw EventBusError(.invalidConfiguration, "reconnect.\(name) is \(value), which is negative")
        }
    }
}

extension ConfigReader {
    /// Reads the bounds of delays under `key`. Leaves those unchanged whose keys are missing.
    package func read(_ key: String, into value: inout ReconnectDelays) throws(EventBusError) {
        try read("\(key).initial", into: &value.initial, allowingZero: true)
        try read("\(key).maximum", into: &value.maximum, allowingZero: true)
    }
}
