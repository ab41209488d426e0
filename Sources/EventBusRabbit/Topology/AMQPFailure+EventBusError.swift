import EventBus

extension AMQPFailure {
    /// Returns the failure in the form in which users of the bus see it.
    func busError(while activity: String) -> EventBusError {
        if let clash = TopologyClash(text) {
            return EventBusError(.topologyClash, "\(clash)", underlying: self)
        }
        if code == Self.preconditionFailed, let refused = RefusedArgument(text) {
            return EventBusError(.invalidConfiguration, "\(activity): \(refused)", underlying: self)
        }
        switch code {
        case _ where kind == .stream:
            return EventBusError(.unsupported, "\(activity): \(self)", underlying: self)
        case _ where isExclusivelyConsumed:
            return EventBusError(
                .unavailable,
                "\(activity): another client consumes the queue exclusively, until it leaves: \(text)",
                underlying: self
            )
        case Self.accessRefused:
            return EventBusError(
                .accessRefused,
                "\(activity): the broker refused access; grant the user the permission, or let another user declare the "
                    + "topology: \(text)",
                underlying: self
            )
        case Self.notFound:
            return EventBusError(.notFound, "\(activity): \(text)", underlying: self)
        default:
            return EventBusError(.unavailable, "\(activity): \(self)", underlying: self)
        }
    }

    /// Returns the failure of a login in the form in which users of the bus see it.
    func loginError(at host: RabbitConfiguration.Host, _ configuration: RabbitConfiguration) -> EventBusError {
        let place = "\(host.name):\(host.port)"
        let user = (user ?? configuration.credentials.user).quotedForError
        switch kind {
        case .connectionClosed(Self.accessRefused):
            return EventBusError(
                .authenticationFailed,
                "\(place) refused the user \(user); check user and password, and that the user may come from this host",
                underlying: self
            )
        case .connectionClosed(Self.notAllowed):
            return EventBusError(
                .accessRefused,
                "\(place) has no virtual host \(configuration.virtualHost.quotedForError), or the user \(user) may not "
                    + "enter it",
                underlying: self
            )
        case .tlsFailed:
            return EventBusError(
                .authenticationFailed,
                "no TLS session with \(place); check the CA file, the host's name and, if the broker asks for one, the "
                    + "client certificate",
                underlying: self
            )
        case _ where isTimeout:
            return EventBusError(
                .unavailable,
                "\(place) did not answer within \(configuration.connectTimeout)",
                underlying: self
            )
        default:
            return EventBusError(.unavailable, "cannot connect to \(place)", underlying: self)
        }
    }

    /// Returns an error of this failure for work that is not repeated. A broker that is silent is told apart from one that
    /// cannot be reached.
    func unrepeated(_ error: EventBusError) -> EventBusError {
        guard isTimeout, error.code == .unavailable else { return error }
        return EventBusError(.timedOut, error.message, underlying: self)
    }

    /// A Boolean value indicating whether the same call cannot succeed, because an object is declared differently, has
    /// an argument that the broker does not accept or is a stream, or the call is forbidden.
    var isPermanent: Bool {
        if kind == .stream { return true }
        guard case .channelClosed(let code) = kind, !isExclusivelyConsumed else { return false }
        if code == Self.accessRefused { return true }
        return code == Self.preconditionFailed && (TopologyClash(text) != nil || RefusedArgument(text) != nil)
    }
}

extension String {
    /// Returns the text after `start` and before `end`, or the rest.
    func part(after start: String, before end: String?) -> String? {
        guard let from = start.isEmpty ? startIndex : firstRange(of: start)?.upperBound else { return nil }
        guard let end else { return String(self[from...]) }
        guard let to = String(self[from...]).firstRange(of: end)?.lowerBound else { return nil }
        let rest = String(self[from...])
        return String(rest[..<to])
    }

    private func firstRange(of text: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text), let end = index(start, offsetBy: text.count, limitedBy: endIndex) {
                return start..<end
            }
            start = index(after: start)
        }
        return nil
    }
}
