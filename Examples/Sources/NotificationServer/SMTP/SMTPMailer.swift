import CCurl
import EventBus
import Synchronization

/// Hands messages to a mail server, one after another, over a connection that it keeps.
///
/// A message is with the server when ``send(_:)`` returns. One whose outcome is unknown is sent again with the same
/// `Message-ID`, by which mailboxes and people can tell.
actor SMTPMailer: Mailer {
    private let configuration: SMTPConfiguration
    private let executor = BlockingExecutor(name: "smtp")
    private let handle: CurlHandle
    /// Why the last message could not be handed over, if that was not the message's fault.
    private let outage = Mutex<String?>(nil)

    /// A mailer that does not connect before the first message.
    ///
    /// - Throws: `EventBusError` with code `.unavailable` if libcurl cannot be set up.
    init(_ configuration: SMTPConfiguration) throws {
        self.configuration = configuration
        self.handle = try CurlHandle()
    }

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Whether the last message could be handed over.
    nonisolated var health: ComponentHealth {
        let reason = outage.withLock { $0 }
        return ComponentHealth(name: "smtp", status: reason == nil ? .ready : .notReady, reason: reason)
    }

    /// Sends a message.
    ///
    /// - Throws: ``MailRefused`` if the server refuses it for good; ``SMTPUnavailable`` otherwise.
    @discardableResult
    func send(_ message: MailMessage) async throws -> Bool {
        let outcome = handle.send(message, configuration)
        if outcome.result == CURLE_OK {
            outage.withLock { $0 = nil }
            return true
        }
        if let reply = outcome.refusal {
            outage.withLock { $0 = nil }
            throw MailRefused(server: configuration.url, recipient: message.recipient, reply: reply)
        }
        let error = SMTPUnavailable(
            server: configuration.url,
            problem: outcome.problem,
            reply: outcome.transfer.reply
        )
        outage.withLock { $0 = error.description }
        throw error
    }
}

extension CurlHandle.Outcome {
    /// What the server said, if it refused this message for good; `nil` if it may take it later, or what it refused was
    /// not the message but this client: its greeting, its lack of encryption, its login.
    fileprivate var refusal: String? {
        guard let code = transfer.replyCode, (500...599).contains(code), let reply = transfer.reply else { return nil }
        switch result {
        case CURLE_SEND_ERROR:
            // Sender, recipient or the wish to send: but 530 asks for encryption or a login first.
            return code == 530 ? nil : reply
        case CURLE_WEIRD_SERVER_REPLY:
            // The message itself; before it was asked for, it was the greeting.
            return transfer.isWanted ? reply : nil
        default:
            return nil
        }
    }
}
