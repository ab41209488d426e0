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
    /// - Throws: ``MailRefused`` if the server permanently refuses it, and ``SMTPUnavailable`` otherwise.
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
    /// The server's reply, if it permanently refused this message. `nil` if it may accept the message later, or if it
    /// refused not the message but this client, because of its greeting, its lack of encryption, or its login.
    fileprivate var refusal: String? {
        guard let code = transfer.replyCode, (500...599).contains(code), let reply = transfer.reply else { return nil }
        switch result {
        case CURLE_SEND_ERROR:
            // Sender, recipient or the mail command. But 530 requests encryption or a login first.
            return code == 530 ? nil : reply
        case CURLE_WEIRD_SERVER_REPLY:
            // The message itself. Before it was requested, the reply was to the greeting.
            return transfer.isWanted ? reply : nil
        default:
            return nil
        }
    }
}
