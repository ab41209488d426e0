import EventBus
import Glibc

/// A time as mail writes it, in UTC.
struct MailDate: Hashable, Sendable {
    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// As a header has it: `Thu, 05 Feb 2026 12:00:00 +0000`.
    let header: String
    /// As the line has it that begins a message in a mailbox file: `Thu Feb  5 12:00:00 2026`.
    let separator: String

    /// A time, to the second.
    init(_ time: EventTime) {
        // From 1970 to 9999, as a header can have it.
        var seconds = time_t(min(max(time.milliseconds / 1000, 0), 253_402_300_799))
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let day = Self.days[Int(parts.tm_wday)]
        let month = Self.months[Int(parts.tm_mon)]
        let year = Int(parts.tm_year) + 1900
        let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { Self.padded($0, "0") }.joined(separator: ":")
        header = "\(day), \(Self.padded(parts.tm_mday, "0")) \(month) \(year) \(clock) +0000"
        separator = "\(day) \(month) \(Self.padded(parts.tm_mday, " ")) \(clock) \(year)"
    }

    private static func padded(_ number: Int32, _ filler: String) -> String {
        number < 10 ? filler + "\(number)" : "\(number)"
    }
}
