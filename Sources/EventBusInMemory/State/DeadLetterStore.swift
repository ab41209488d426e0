import DequeModule
import EventBus

/// The dead letters of one group, oldest first.
struct DeadLetterStore: Sendable {
    /// A dead letter and its number, which rises.
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

    /// The dead letter with this number, if it is still there.
    func deadLetter(_ number: UInt64) -> DeadLetter? {
        index(of: number).map { entries[$0].deadLetter }
    }

    /// Takes out one dead letter, if it is still there.
    mutating func remove(_ number: UInt64) {
        if let index = index(of: number) { entries.remove(at: index) }
    }

    /// Takes out those with these numbers that are still there.
    ///
    /// - Returns: How many there were.
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
