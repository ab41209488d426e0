import EventBus
import FoundationEssentials

/// The selection of dead letters by a command. All given criteria must hold.
struct LetterFilter: Sendable {
    var ids: Set<String> = []
    var topic: TopicPattern?
    var queue: String?
    var reasons: Set<String> = []
    /// A part of the error's type or text.
    var error: String?
    /// The time before which the last failure must not be.
    var since: EventTime?
    /// The time before which the last failure must be.
    var before: EventTime?
    var correlationID: String?
    var conditions: [LetterCondition] = []

    /// A Boolean value indicating whether every dead letter is selected.
    var isEmpty: Bool {
        ids.isEmpty && topic == nil && queue == nil && reasons.isEmpty && error == nil && since == nil && before == nil
            && correlationID == nil && conditions.isEmpty
    }

    /// Returns a Boolean value indicating whether a dead letter is selected.
    func includes(_ letter: DeadLetter) -> Bool {
        if !ids.isEmpty, !ids.contains(letter.envelope.id.rawValue) { return false }
        if let topic, !topic.matches(letter.envelope.topic) { return false }
        if let queue, queue != letter.queue { return false }
        if !reasons.isEmpty, !reasons.contains(letter.failure.reason.rawValue) { return false }
        if let error, !letter.failure.errorType.contains(error), !letter.failure.message.contains(error) {
            return false
        }
        if let since, letter.lastFailure < since { return false }
        if let before, letter.lastFailure >= before { return false }
        if let correlationID, letter.envelope.correlationID?.rawValue != correlationID { return false }
        if conditions.isEmpty { return true }
        let payload = try? JSONDecoder().decode(JSONValue.self, from: Data(letter.envelope.payload))
        return conditions.allSatisfy { $0.holds(for: letter, payload: payload) }
    }
}
