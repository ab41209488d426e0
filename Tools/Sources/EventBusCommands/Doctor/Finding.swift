/// Something that an operator should know about a system, and what to do about it.
struct Finding: Hashable, Sendable, Encodable {
    /// The importance of a finding, the greatest first.
    enum Level: String, Hashable, Sendable, Encodable, CaseIterable {
        /// Events are not handled.
        case problem
        /// Someone has to look at it.
        case warning
        /// It is as it should be, or could not be checked.
        case note
    }

    var level: Level
    /// The object, such as a queue.
    var subject: String
    var message: String
    /// The remedy, or `nil` if there is nothing to do.
    var remedy: String?

    /// Returns findings with the most important first, and otherwise in their order.
    static func sorted(_ findings: [Finding]) -> [Finding] {
        Level.allCases.flatMap { level in findings.filter { $0.level == level } }
    }
}
