/// Something that an operator should know about a system, and what to do about it.
struct Finding: Hashable, Sendable, Encodable {
    /// The importance of a finding.
    enum Level: String, Hashable, Sendable, Encodable {
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
}
