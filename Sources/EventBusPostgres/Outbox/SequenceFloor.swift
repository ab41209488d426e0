/// The number below which no event can appear in the outbox any more.
///
/// Numbers are drawn in order, but transactions commit in any order: an event with a lower number may become visible
/// after one with a higher number. A relay that reads only numbers above the last one that it has seen would skip it
/// for good. A relay that reads from the start would pass over every deleted row that has not been vacuumed.
///
/// The floor therefore rises only over numbers that had been drawn before a transaction got its id, and only when every
/// transaction with a lower id has ended. A transaction draws a number after it has its id, so none of them can still
/// store an event with such a number. An open transaction keeps the floor down, but delays no event. If numbers are given
/// again, everything is read again.
///
/// The id is that of the relay's next transaction, because a snapshot does not tell it: its `xmax` is one more than the
/// highest id that has *ended*, and open transactions may have that id and higher ones.
struct SequenceFloor: Sendable, Equatable {
    /// A moment: the last number that had been drawn, and an id that was assigned afterward, once there is one.
    private struct Mark: Sendable, Equatable {
        var lastNumber: Int64
        var laterTransaction: UInt64?
    }

    /// The lowest number that has to be read.
    private(set) var value: Int64 = 0
    private var mark: Mark?

    /// Records the state of the database in a transaction of the relay. These follow one another.
    ///
    /// - Parameters:
    ///   - firstStored: The lowest number above the floor of an event that waits as it was stored.
    ///   - lastNumber: The last number that had been drawn.
    ///   - oldestTransaction: The lowest id of a transaction that may still be open, read before `firstStored`.
    ///   - transaction: The id of the relay's transaction.
    mutating func note(firstStored: Int64?, lastNumber: Int64, oldestTransaction: UInt64, transaction: UInt64) {
        if let known = mark, lastNumber < known.lastNumber {
            // Numbers are given again: a server that lacks the last ones replaced another, or somebody set the sequence.
            self = SequenceFloor()
        } else if let known = mark {
            let later = known.laterTransaction ?? transaction
            guard oldestTransaction >= later else {
                mark?.laterTransaction = later
                return
            }
            let (end, isLast) = known.lastNumber.addingReportingOverflow(1)
            value = max(value, min(firstStored ?? .max, isLast ? known.lastNumber : end))
        }
        mark = Mark(lastNumber: lastNumber)
    }
}
