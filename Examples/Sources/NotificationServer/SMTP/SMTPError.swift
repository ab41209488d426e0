import EventBus

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
