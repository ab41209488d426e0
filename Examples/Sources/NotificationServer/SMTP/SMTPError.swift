import EventBus

/// The error for a message that could not be sent now and may be sent later.
struct SMTPUnavailable: Error, Hashable, CustomStringConvertible {
    /// The server, without its user.
    var server: String
    /// The problem.
    var problem: String
    /// The last reply of the server, or `nil` if there was none.
    var reply: String?

    /// A description of the problem.
    var description: String { "\(server) takes no mail at present: \(problem)\(reply.map { " (\($0))" } ?? "")" }
}

/// The error for a message that the server will never accept. A retry does not help.
struct MailRefused: Error, NonRetryable, Hashable, CustomStringConvertible {
    /// The server, without its user.
    var server: String
    /// The recipient of the message.
    var recipient: MailAddress
    /// The reply of the server.
    var reply: String

    /// A description of the problem.
    var description: String { "\(server) refused the message to \(recipient) for good: \(reply)" }
}
