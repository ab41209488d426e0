import EventBus

/// The outcome of one pass through the dead letters.
struct ReplayRound {
    /// The maximum number of entries that an error names.
    private static let maximumNamed = 5

    var replayed = 0
    private var named: [String] = []
    private var kept = 0
    private var first: EventBusError?

    /// Returns a Boolean value indicating whether an error concerns the entry or its destination, so that the next one
    /// may succeed.
    static func isOfEntry(_ code: EventBusError.Code) -> Bool {
        code.isAboutTheEvent || code.isRefusal || code == .unroutable
    }

    /// Records an entry that is kept.
    mutating func note(_ error: EventBusError, of letter: DeadLetter) {
        kept += 1
        first = first ?? error
        if named.count < Self.maximumNamed {
            named.append("\(letter.envelope.id.rawValue.quotedForError) (\(error.code): \(error.message))")
        }
    }

    /// Throws if an entry had to be kept.
    ///
    /// - Parameter entries: The plural noun for the entries, and their queue.
    func report(_ entries: String) throws(EventBusError) {
        guard let first else { return }
        let more = kept > named.count ? " and \(kept - named.count) more" : ""
        throw EventBusError(
            first.code,
            "\(replayed) \(entries) were replayed, \(kept) stay: "
                + named.joined(separator: ", ") + more,
            underlying: first
        ).completing(replayed)
    }
}
