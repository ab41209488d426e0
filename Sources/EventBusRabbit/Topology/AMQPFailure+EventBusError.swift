import EventBus

extension AMQPFailure {
    /// The failure as users of the bus see it.
    func busError(while activity: String) -> EventBusError {
        if let clash = TopologyClash(text) {
            return EventBusError(.topologyClash, "\(clash)", underlying: self)
        }
        switch code {
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

    /// Whether doing the same again cannot succeed: something is declared otherwise, or forbidden.
    var isPermanent: Bool {
        guard case .channelClosed(let code) = kind else { return false }
        return code == Self.accessRefused || (code == Self.preconditionFailed && TopologyClash(text) != nil)
    }
}

/// What the broker says when an object exists with other arguments than were declared.
///
/// `PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'a.b' in vhost '/': received 'quorum' but current is
/// 'classic'`
struct TopologyClash: Hashable, Sendable, CustomStringConvertible {
    var argument: String
    var object: String
    var wanted: String
    var found: String

    init?(_ text: String) {
        guard
            let argument = text.part(after: "inequivalent arg '", before: "'"),
            let object = text.part(after: "' for ", before: " in vhost"),
            let outcome = text.part(after: "': ", before: nil),
            let wanted = outcome.part(after: "received ", before: " but current is "),
            let found = outcome.part(after: " but current is ", before: nil)
        else { return nil }
        self.argument = argument
        self.object = object
        self.wanted = Self.value(wanted)
        self.found = Self.value(found)
    }

    /// `'quorum'` of `the value 'quorum' of type 'longstr'`, as the broker has it for arguments.
    private static func value(_ text: String) -> String {
        text.part(after: "the value ", before: " of type ") ?? text
    }

    var description: String {
        "\(object) exists with \(argument) = \(found), but \(wanted) is wanted; delete it once it is empty, or give the "
            + "configuration that it was declared with"
    }
}

extension String {
    /// What stands after `start` and before `end`, or the rest.
    func part(after start: String, before end: String?) -> String? {
        guard let from = firstRange(of: start)?.upperBound else { return nil }
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
