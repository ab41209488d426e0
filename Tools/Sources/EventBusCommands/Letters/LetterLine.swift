import EventBus

/// A dead letter as a line of JSON, from which it can be restored: the members of its event, and those of its failure.
struct LetterLine: Codable, Sendable {
    var event: EventLine
    var failure: Failed

    /// The members that say how an event failed.
    struct Failed: Codable, Sendable {
        var group: String
        var queue: String
        var reason: String
        var errorType: String
        var error: String
        var attempts: Int
        var firstFailure: String?
        var lastFailure: String
    }

    init(_ letter: DeadLetter) {
        event = EventLine(letter.envelope)
        failure = Failed(
            group: letter.group,
            queue: letter.queue,
            reason: letter.failure.reason.rawValue,
            errorType: letter.failure.errorType,
            error: letter.failure.message,
            attempts: letter.attempts,
            firstFailure: letter.firstFailure?.rfc3339,
            lastFailure: letter.lastFailure.rfc3339
        )
    }

    init(from decoder: any Decoder) throws {
        event = try EventLine(from: decoder)
        failure = try Failed(from: decoder)
    }

    func encode(to encoder: any Encoder) throws {
        try event.encode(to: encoder)
        try failure.encode(to: encoder)
    }

    /// Returns the dead letter.
    ///
    /// - Throws: ``CommandFailure`` with a sentence about the invalid member.
    func letter() throws(CommandFailure) -> DeadLetter {
        var first: EventTime?
        if let time = failure.firstFailure { first = try EventLine.time(time, "firstFailure") }
        return DeadLetter(
            envelope: try event.envelope(),
            group: failure.group,
            queue: failure.queue,
            failure: Failure(
                reason: .init(rawValue: failure.reason),
                errorType: failure.errorType,
                message: failure.error,
                attempt: failure.attempts
            ),
            attempts: failure.attempts,
            firstFailure: first,
            lastFailure: try EventLine.time(failure.lastFailure, "lastFailure")
        )
    }
}
