/// A destination for messages.
protocol Mailer: Sendable {
    /// Sends a message. Returns when the destination has accepted responsibility for it.
    ///
    /// - Returns: `true` if it was sent now, and `false` if it is known to have been sent before.
    /// - Throws: An error that is `NonRetryable` if this message can never be sent. After any other error it may be
    ///   sent later, and may or may not have been sent. A message with the same id is the same message.
    @discardableResult
    func send(_ message: MailMessage) async throws -> Bool
}
