import EventBus

/// A message could not be handed over just now; it may be later.
struct SMTPUnavailable: Error, Hashable, CustomStringConvertible {
    /// The server, without its user.
    var server: String
    /// What went wrong.
    var problem: String
    /// What the server said last; `nil` if it said nothing.
    var reply: String?

    /// What was wrong, in words.
    var description: String { "\(server) takes no mail at present: \(problem)\(reply.map { " (\($0))" } ?? "")" }
}

/// The server will never take this message: trying again does not help.
struct MailRefused: Error, NonRetryable, Hashable, CustomStringConvertible {
    /// The server, without its user.
    var server: String
    /// Whose message it was.
    var recipient: MailAddress
    /// What the server said.
    var reply: String

    /// What was wrong, in words.
    var description: String { "\(server) refused the message to \(recipient) for good: \(reply)" }
}
