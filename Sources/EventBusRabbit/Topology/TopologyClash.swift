/// The broker's description of an object that exists with other arguments than the declared ones.
///
/// `PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'a.b' in vhost '/': received 'quorum' but current
/// is 'classic'`
struct TopologyClash: Hashable, Sendable, CustomStringConvertible {
    var argument: String
    var object: String
    /// The declared value, or `nil` if the broker's text was truncated before it.
    var wanted: String?
    /// The existing value, or `nil` if the broker's text was truncated before it.
    var found: String?

    /// Parses the broker's text, which is truncated after 255 bytes. With long names only its beginning is left.
    init?(_ text: String) {
        guard let rest = text.part(after: "inequivalent arg '", before: nil) else { return nil }
        argument = rest.part(after: "", before: "'") ?? rest
        let subject = rest.part(after: "' for ", before: nil) ?? "an object of the topology"
        object = subject.part(after: "", before: " in vhost") ?? subject
        let outcome = rest.part(after: "': ", before: nil) ?? ""
        wanted = outcome.part(after: "received ", before: " but current is ").map(Self.value)
        found = outcome.part(after: " but current is ", before: nil).map(Self.value)
    }

    /// Returns `'quorum'` for `the value 'quorum' of type 'longstr'`, the broker's format for arguments.
    private static func value(_ text: String) -> String {
        text.part(after: "the value ", before: " of type ") ?? text
    }

    var description: String {
        let difference =
            if let found, let wanted {
                "\(object) exists with \(argument) = \(found), but \(wanted) is wanted"
            } else {
                "\(object) exists with another \(argument) than is wanted"
            }
        return difference + "; delete it once it is empty, or give the configuration that it was declared with"
    }
}
