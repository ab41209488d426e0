import EventBus

/// The queues to which replies may be sent.
///
/// A request names its reply queue itself, so a publisher could make a responder write into any queue. The
/// pseudo-queues of direct reply-to are always allowed, because the broker creates their names, and they lead to their
/// requester only.
struct ReplyQueues: Sendable {
    private static let direct = RequestClient.replyQueue + "."

    /// The names, or beginnings of names that end in `*`.
    var allowed: [String] = []

    /// Returns a Boolean value indicating whether a reply may be sent to the queue called `name`.
    func contains(_ name: String) -> Bool {
        if name.beginsWithBytes(of: Self.direct) { return true }
        return allowed.contains { entry in
            entry.hasSuffix("*")
                ? name.beginsWithBytes(of: String(entry.dropLast())) : name.utf8.elementsEqual(entry.utf8)
        }
    }
}
