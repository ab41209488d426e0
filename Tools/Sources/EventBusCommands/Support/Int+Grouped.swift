extension Int {
    /// The number for people to read, such as `1,204`.
    var grouped: String {
        var digits = Array(String(magnitude))
        for position in stride(from: digits.count - 3, to: 0, by: -3) { digits.insert(",", at: position) }
        return (self < 0 ? "-" : "") + String(digits)
    }

    /// The number with a noun, such as `1 event` or `1,204 events`.
    func counted(_ noun: String) -> String { self == 1 ? "1 \(noun)" : "\(grouped) \(noun)s" }
}
