/// The number below which no event can appear in the outbox any more.
///
/// Numbers are drawn in order, but transactions commit in any order: an event with a lower number may become visible
/// after one with a higher number. A relay that reads only numbers above the last one that it has seen would skip it
/// for good. A relay that reads from the start would pass over every deleted row that has not been vacuumed.
///
/// The floor therefore rises only over numbers that were drawn before a moment at which some transaction id was the
/// next one, and only when every transaction with a lower id has ended. A transaction draws a number after it has its
/// id, so none of them can still store an event with such a number. An open transaction keeps the floor down, but
/// delays no event.
struct SequenceFloor: Sendable, Equatable {
    /// A moment: the last number that had been drawn, and the transaction id that was the next one after that.
    private struct Mark: Sendable, Equatable {
        var lastNumber: Int64
        var nextTransaction: UInt64
    }

    /// The lowest number that has to be read.
    private(set) var value: Int64 = 0
    private var mark: Mark?

    /// Records a state of the database.
    ///
    /// - Parameters:
    ///   - firstStored: The lowest number above the floor of an event that waits as it was stored.
    ///   - lastNumber: The last number that had been drawn.
    ///   - oldestTransaction: The lowest id of a transaction that may still be open, read after `lastNumber`.
    ///   - nextTransaction: The next transaction id, read together with `oldestTransaction`.
    mutating func note(firstStored: Int64?, lastNumber: Int64, oldestTransaction: UInt64, nextTransaction: UInt64) {
        guard let known = mark else {
            mark = Mark(lastNumber: lastNumber, nextTransaction: nextTransaction)
            return
        }
        guard oldestTransaction >= known.nextTransaction else { return }
        let (end, isLast) = known.lastNumber.addingReportingOverflow(1)
        value = max(value, min(firstStored ?? .max, isLast ? known.lastNumber : end))
        mark = Mark(lastNumber: lastNumber, nextTransaction: nextTransaction)
    }
}
