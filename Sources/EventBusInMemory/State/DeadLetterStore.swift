import DequeModule
import EventBus

/// The dead letters of one group, oldest first.
struct DeadLetterStore: Sendable {
    /// A dead letter and its number, which increases.
    struct Entry: Sendable {
        var number: UInt64
        var deadLetter: DeadLetter
    }

    private(set) var entries: Deque<Entry> = []
    private var lastNumber: UInt64 = 0

    mutating func append(_ deadLetter: DeadLetter) {
        lastNumber += 1
        entries.append(Entry(number: lastNumber, deadLetter: deadLetter))
    }

    /// Returns the dead letter with this number, if it still exists.
    func deadLetter(_ number: UInt64) -> DeadLetter? {
        index(of: number).map { entries[$0].deadLetter }
    }

    /// Removes one dead letter, if it still exists.
    mutating func remove(_ number: UInt64) {
        if let index = index(of: number) { entries.remove(at: index) }
    }

    /// Removes the dead letters with these numbers that still exist.
    ///
    /// - Returns: The number of removed dead letters.
    mutating func remove(_ numbers: Set<UInt64>) -> Int {
        let before = entries.count
        entries.removeAll { numbers.contains($0.number) }
        return before - entries.count
    }

    private func index(of number: UInt64) -> Int? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].number == number ? low : nil
    }
}
