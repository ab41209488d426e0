/// The broker's description of an argument or a property that it does not accept.
///
/// `PRECONDITION_FAILED - invalid arg 'x-max-priority' for queue 'a.b' in vhost '/' of queue type rabbit_quorum_queue`
struct RefusedArgument: Hashable, Sendable, CustomStringConvertible {
    var argument: String
    var object: String
    /// The broker's reason, if its text has one.
    var reason: String?

    /// Parses the broker's text, which is truncated after 255 bytes.
    init?(_ text: String) {
        let beginnings = ["arg", "property"].map { "PRECONDITION_FAILED - invalid \($0) '" }
        guard let beginning = beginnings.first(where: { text.hasPrefix($0) }) else { return nil }
        let rest = String(text.dropFirst(beginning.count))
        argument = rest.part(after: "", before: "'") ?? rest
        let subject = rest.part(after: "' for ", before: nil) ?? "an object of the topology"
        object = subject.part(after: "", before: " in vhost") ?? subject
        let end = subject.part(after: " in vhost '", before: nil)?.part(after: "'", before: nil)
        reason = end.flatMap { $0.isEmpty ? nil : $0.drop { ": ".contains($0) }.description }
    }

    var description: String {
        let details = reason.map { " (\($0))" } ?? ""
        return "the broker does not accept \(argument) for \(object)\(details); change the configuration of the queue"
    }
}
