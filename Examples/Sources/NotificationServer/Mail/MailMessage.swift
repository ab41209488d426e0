import EventBus
import NotificationService

/// A message as RFC 5322 has it. One that tells of the same event is the same to the last byte, whenever it is made.
struct MailMessage: Hashable, Sendable {
    /// How lines end.
    enum LineEnd: String, Sendable {
        /// In a mailbox file, as everywhere on Unix.
        case lf = "\n"
        /// Over SMTP.
        case crlf = "\r\n"
    }

    /// Its identity, made of the event's.
    let id: MessageID
    /// When the event took place.
    let date: MailDate
    /// Who sends it.
    let sender: MailAddress
    /// Who gets it.
    let recipient: MailAddress
    /// Its headers.
    let headers: [HeaderField]
    /// Its text.
    let body: MailBody

    /// A message.
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

    /// The whole message.
    ///
    /// - Parameters:
    ///   - lineEnd: How its lines end.
    ///   - further: Headers to put behind its own.
    func text(_ lineEnd: LineEnd, further: [HeaderField] = []) -> String {
        let lines = (headers + further).flatMap(\.lines) + [""] + body.lines
        return lines.map { $0 + lineEnd.rawValue }.joined()
    }
}

extension MailMessage {
    /// The message that tells a customer how an order ended.
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

/// What is the same on every message.
struct Letterhead: Hashable, Sendable {
    /// Who sends it.
    var sender: MailAddress
    /// Where the customers have their addresses.
    var customerDomain: MailDomain
}
