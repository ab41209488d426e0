import EventBus

/// A time in the format of mail, in UTC.
struct MailDate: Hashable, Sendable {
    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// The time in the format of a header: `Thu, 05 Feb 2026 12:00:00 +0000`.
    let header: String
    /// The time in the format of the line that starts a message in a mailbox file: `Thu Feb  5 12:00:00 2026`.
    let separator: String

    /// Creates a time with a resolution of one second.
    init(_ time: EventTime) {
        // From 1970 to 9999, which a header can express.
        let seconds = min(max(time.milliseconds / 1000, 0), 253_402_300_799)
        // `2026-02-05T12:00:00.000Z`
        let text = EventTime(milliseconds: seconds * 1000).rfc3339
        let fields = text.split { "-T:.".contains($0) }
        let (year, clock) = (fields[0], fields[3...5].joined(separator: ":"))
        let (month, dayOfMonth) = (Self.months[(Int(fields[1]) ?? 1) - 1], fields[2])
        // The first of January 1970 was a Thursday.
        let day = Self.days[Int((seconds / 86_400 + 4) % 7)]
        header = "\(day), \(dayOfMonth) \(month) \(year) \(clock) +0000"
        let padded = dayOfMonth.first == "0" ? " " + dayOfMonth.dropFirst() : String(dayOfMonth)
        separator = "\(day) \(month) \(padded) \(clock) \(year)"
    }
}
