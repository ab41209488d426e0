/// The times and sizes that bound a pass through a queue.
struct LetterReaderLimits: Sendable {
    /// The time without an entry after which the queue is checked.
    var silence = Duration.seconds(2)
    /// The maximum time for which entries are held, because a broker closes the channel of a delivery that is unsettled
    /// for too long.
    var maximumHold = Duration.seconds(60)
    /// The number of acknowledgements that a channel certainly passes on at once.
    var sentAhead = 16
    /// The time after which a returned entry is not expected any more, because another reader has it.
    var returnTime = Duration.seconds(10)
    /// The time for which entries that a lost connection may have returned are searched for.
    var searchTime = Duration.seconds(10)
}
