/// What brings messages to people.
protocol Mailer: Sendable {
    /// Sends a message; returns when it is safe with whoever takes it on from here.
    ///
    /// - Returns: Whether it was sent now; false where it is known to have been sent before.
    /// - Throws: An error that is `NonRetryable` if this message can never be sent; any other says that it may be sent
    ///   later. Then it may or may not have been sent: one with the same id is the same message.
    @discardableResult
    func send(_ message: MailMessage) async throws -> Bool
}
