import EventBus

/// The queues to which replies may go.
///
/// A request names its reply queue itself, so whoever may publish could have a responder write into any queue. The
/// pseudo-queues of direct reply-to are always allowed: the broker makes their names, and they lead to their requester
/// only.
struct ReplyQueues: Sendable {
    private static let direct = RequestLane.replyQueue + "."

    /// Names, or beginnings of names that end in `*`.
    var allowed: [String] = []

    /// Whether a reply may go to the queue called `name`.
    func contains(_ name: String) -> Bool {
        if name.beginsWithBytes(of: Self.direct) { return true }
        return allowed.contains { entry in
            entry.hasSuffix("*")
                ? name.beginsWithBytes(of: String(entry.dropLast())) : name.utf8.elementsEqual(entry.utf8)
        }
    }
}
