import EventBus
import NotificationService

/// A message in the format of RFC 5322. Messages about the same event are equal to the last byte.
struct MailMessage: Hashable, Sendable {
    /// The line ending of a message.
    enum LineEnd: String, Sendable {
        /// The line ending in a mailbox file, as usual on Unix.
        case lf = "\n"
        /// The line ending over SMTP.
        case crlf = "\r\n"
    }

    /// The identity, which is derived from that of the event.
    let id: MessageID
    /// The time of the event.
    let date: MailDate
    /// The sender.
    let sender: MailAddress
    /// The recipient.
    let recipient: MailAddress
    /// The headers.
    let headers: [HeaderField]
    /// The text.
    let body: MailBody

    /// Creates a message.
    init(
        id: MessageID,
        date: MailDate,
        from sender: MailAddress,
        to recipient: MailAddress,
        subject: String,
        text: String
    ) {
        let body = MailBody(text)
        self.id = id
        self.date = date
        self.sender = sender
        self.recipient = recipient
        self.body = body
        headers = [
            HeaderField("Date", structured: date.header),
            HeaderField("From", structured: "<\(sender)>"),
            HeaderField("To", structured: "<\(recipient)>"),
            HeaderField("Subject", text: subject),
            HeaderField("Message-ID", structured: "\(id)"),
            HeaderField("MIME-Version", structured: "1.0"),
            HeaderField("Content-Type", structured: "text/plain; charset=utf-8"),
            HeaderField("Content-Transfer-Encoding", structured: body.encoding.rawValue),
            HeaderField("Auto-Submitted", structured: "auto-generated"),
        ]
    }

    /// Returns the whole message.
    ///
    /// - Parameters:
    ///   - lineEnd: The line ending.
    ///   - further: Headers to add after those of the message.
    func text(_ lineEnd: LineEnd, further: [HeaderField] = []) -> String {
        let lines = (headers + further).flatMap(\.lines) + [""] + body.lines
        return lines.map { $0 + lineEnd.rawValue }.joined()
    }
}

extension MailMessage {
    /// Creates the message that tells a customer the outcome of an order.
    ///
    /// - Throws: ``UnaddressableCustomer``.
    init(_ notice: Notice, eventID: EventID, time: EventTime, letterhead: Letterhead) throws(UnaddressableCustomer) {
        let subject =
            switch notice.outcome {
            case .confirmed: "Your order \(notice.orderID) is on its way"
            case .cancelled: "Your order \(notice.orderID) is cancelled"
            }
        self.init(
            id: MessageID(eventID, domain: letterhead.sender.domain),
            date: MailDate(time),
            from: letterhead.sender,
            to: try MailAddress(customerID: notice.customerID, domain: letterhead.customerDomain),
            subject: subject,
            text: notice.text + "\n"
        )
    }
}

/// The parts that all messages share.
struct Letterhead: Hashable, Sendable {
    /// The sender.
    var sender: MailAddress
    /// The domain of the customers' addresses.
    var customerDomain: MailDomain
}
