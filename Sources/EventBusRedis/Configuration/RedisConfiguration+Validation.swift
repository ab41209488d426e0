public import EventBus

extension RedisConfiguration {
    /// Checks values that would otherwise fail late.
    ///
    /// - Throws: ``/EventBus/EventBusError`` with code `.invalidConfiguration`, which names the value.
    public func validate() throws(EventBusError) {
        let durations: [(String, Duration)] = [
            ("connectTimeout", connectTimeout), ("commandTimeout", commandTimeout), ("heartbeat", heartbeat),
            ("reconnect.initial", reconnect.initial), ("reconnect.maximum", reconnect.maximum),
        ]
        for (name, value) in durations where value <= .zero {
            throw EventBusError(.invalidConfiguration, "\(name) is \(value); it has to be positive")
        }
        let numbers = [
            ("maximumInFlight", maximumInFlight), ("maximumInFlightBytes", maximumInFlightBytes),
            ("maximumQueued", maximumQueued), ("maximumQueuedBytes", maximumQueuedBytes),
            ("maximumReplySize", maximumReplySize),
        ]
        for (name, value) in numbers where value <= 0 {
            throw EventBusError(.invalidConfiguration, "\(name) is \(value); it has to be positive")
        }
        guard database >= 0 else {
            throw EventBusError(.invalidConfiguration, "database is \(database); it cannot be negative")
        }
        if case .sentinel(let hosts, let service) = endpoint {
            guard !service.isEmpty, Self.areValid(hosts) else {
                throw EventBusError(
                    .invalidConfiguration,
                    "endpoint lacks a Sentinel's host, the service, or a valid port"
                )
            }
        }
        if case .cluster(let hosts) = endpoint {
            guard Self.areValid(hosts) else {
                throw EventBusError(.invalidConfiguration, "endpoint lacks a node's host or a valid port")
            }
            guard database == 0 else {
                throw EventBusError(.invalidConfiguration, "database is \(database); a Redis cluster has only 0")
            }
        }
        if let tls {
            if case .unix = endpoint {
                throw EventBusError(.invalidConfiguration, "tls is set for a unix socket; it requires a host")
            }
            guard (tls.certificateFile == nil) == (tls.keyFile == nil) else {
                throw EventBusError(.invalidConfiguration, "tls.certificateFile and tls.keyFile go together")
            }
        }
        guard !clientName.isEmpty, clientName.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw EventBusError(.invalidConfiguration, "clientName has to be of printable ASCII without spaces")
        }
        if case .unix(let path) = endpoint, path.isEmpty || path.utf8.count > 107 {
            throw EventBusError(.invalidConfiguration, "the path of the unix socket has to have 1 to 107 bytes")
        }
    }

    private static func areValid(_ hosts: [Host]) -> Bool {
        !hosts.isEmpty && hosts.allSatisfy { !$0.name.isEmpty && 1...65535 ~= $0.port ?? 1 }
    }
}
