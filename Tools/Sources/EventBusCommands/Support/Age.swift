import EventBus

/// A time that an option gives: an age such as `90s`, `15m`, `2h` or `3d`, or a time in RFC 3339 format.
enum Age {
    /// Returns the time that a text gives, or `nil` if it is neither.
    static func time(_ text: String, now: EventTime = .now()) -> EventTime? {
        if let time = EventTime(rfc3339: text) { return time }
        let units: [Character: Int64] = ["s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
        guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()), count >= 0 else {
            return nil
        }
        let (age, overflow) = count.multipliedReportingOverflow(by: unit)
        return overflow ? nil : EventTime(milliseconds: max(0, now.milliseconds - age))
    }

    /// Returns the age of a time for people to read, such as `2h 05m`.
    static func text(of time: EventTime, now: EventTime = .now()) -> String {
        let seconds = max(0, now.milliseconds - time.milliseconds) / 1000
        func two(_ number: Int64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return switch seconds {
        case ..<60: "\(seconds)s"
        case ..<3600: "\(seconds / 60)m \(two(seconds % 60))s"
        case ..<86400: "\(seconds / 3600)h \(two(seconds / 60 % 60))m"
        default: "\(seconds / 86400)d \(two(seconds / 3600 % 24))h"
        }
    }
}
