import BlockingExecutor
import CCurl
import EventBus
import Synchronization

/// A mailer that sends messages to a mail server one after another, over a connection that it keeps open.
///
/// The server has accepted a message when ``send(_:)`` returns. A message with an unknown outcome is sent again with
/// the same `Message-ID`, by which mailboxes and people recognize a duplicate.
actor SMTPMailer: Mailer {
    private let configuration: SMTPConfiguration
    private let executor = BlockingExecutor(name: "smtp")
    private let handle: CurlHandle
    /// The reason why the last message could not be sent, unless the message was at fault.
    private let outage = Mutex<String?>(nil)

    /// Creates a mailer that connects for its first message.
    ///
    /// - Throws: `EventBusError` with code `.unavailable` if libcurl cannot be set up.
    init(_ configuration: SMTPConfiguration) throws {
        self.configuration = configuration
        self.handle = try CurlHandle()
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// The health: whether the last message could be sent.
    nonisolated var health: ComponentHealth {
        let reason = outage.withLock { $0 }
        return ComponentHealth(name: "smtp", status: reason == nil ? .ready : .notReady, reason: reason)
    }

    /// Sends a message.
    ///
    /// - Throws: ``MailRefused`` if the server permanently refuses it, `RetryLater` if it may accept it later, and
    ///   `EventBusError` with code `.unavailable` if it takes no mail at all.
    @discardableResult
    func send(_ message: MailMessage) async throws -> Bool {
        let outcome = handle.send(message, configuration)
        if outcome.result == CURLE_OK {
            outage.withLock { $0 = nil }
            return true
        }
        let refusal = outcome.refusal
        if let refusal, refusal.code >= 500 {
            outage.withLock { $0 = nil }
            throw MailRefused(server: configuration.url, recipient: message.recipient, reply: refusal.reply)
        }
        let reply = outcome.transfer.reply.map { " (\($0))" } ?? ""
        let reason = "\(configuration.url) takes no mail at present: \(outcome.problem)\(reply)"
        outage.withLock { $0 = reason }
        if refusal != nil { throw RetryLater(after: .seconds(60), countsAsAttempt: false, reason: reason) }
        throw EventBusError(.unavailable, reason)
    }
}

extension CurlHandle.Outcome {
    /// The server's reply, if it refused this message, permanently (5xx) or for now (4xx). `nil` if it refused not the
    /// message but this client, because of its greeting, its lack of encryption, or its login.
    fileprivate var refusal: (code: Int, reply: String)? {
        guard let code = transfer.replyCode, (400...599).contains(code), let reply = transfer.reply else { return nil }
        switch result {
        case CURLE_SEND_ERROR:
            // Sender, recipient or the mail command. But 421 ends the connection, and 530 requests encryption or a login
            // first.
            return code == 421 || code == 530 ? nil : (code, reply)
        case CURLE_WEIRD_SERVER_REPLY:
            // The message itself. Before it was requested, the reply was to the greeting.
            return transfer.isWanted && code != 421 ? (code, reply) : nil
        default:
            return nil
        }
    }
}
