import EventBus

/// What one round through the dead letters came to. Pure.
struct ReplayRound {
    /// How many entries an error names at most.
    private static let maximumNamed = 5

    var replayed = 0
    private var named: [String] = []
    private var kept = 0
    private var first: EventBusError?

    /// Whether an error is about the entry or its destination: the next one may go.
    static func isOfEntry(_ code: EventBusError.Code) -> Bool {
        code.isAboutTheEvent || code.isRefusal || code == .unroutable
    }

    /// Notes an entry that stays.
    mutating func note(_ error: EventBusError, of letter: DeadLetter) {
        kept += 1
        first = first ?? error
        if named.count < Self.maximumNamed {
            named.append("\(letter.envelope.id.rawValue.quotedForError) (\(error.code): \(error.message))")
        }
    }

    /// Throws if an entry had to stay.
    func report(_ queueName: String) throws(EventBusError) {
        guard let first else { return }
        let more = kept > named.count ? " and \(kept - named.count) more" : ""
        throw EventBusError(
            first.code,
            "\(replayed) dead letters of \(queueName) were replayed, \(kept) stay: "
                + named.joined(separator: ", ") + more,
            underlying: first
        )
    }
}
