import Testing

@testable import EventBus

@Suite("SnapshotCell", .timeLimit(.minutes(1)))
struct SnapshotCellTests {
    final class Snapshot: Sendable {}

    /// The cell as a class, because `#expect` does not accept noncopyable values.
    final class Cell: Sendable {
        private let cell = SnapshotCell<Snapshot>()

        func enter() -> Int { cell.enter() }
        func leave(_ slot: Int) { cell.leave(slot) }
        func replace(with snapshot: Snapshot?) -> Snapshot? { cell.replace(with: snapshot) }
        func holds(_ snapshot: Snapshot, in slot: Int) -> Bool {
            unsafe cell.object(in: slot)?._withUnsafeGuaranteedRef { $0 === snapshot } ?? false
        }
    }

    @Test func `a replaced object nobody reads is handed back`() {
        let cell = Cell()
        let (first, second) = (Snapshot(), Snapshot())
        #expect(cell.replace(with: first) == nil)
        let slot = cell.enter()
        #expect(cell.holds(first, in: slot))
        cell.leave(slot)
        #expect(cell.replace(with: second) === first)
        #expect(cell.replace(with: nil) === second)
        #expect(cell.replace(with: nil) == nil)
        #expect(cell.enter() == 0)
    }

    @Test func `a replaced object lives until its last reader has left`() {
        let cell = Cell()
        weak var first: Snapshot?
        do {
            let snapshot = Snapshot()
            first = snapshot
            #expect(cell.replace(with: snapshot) == nil)
        }
        let (one, two) = (cell.enter(), cell.enter())
        #expect(cell.replace(with: Snapshot()) == nil)
        cell.leave(one)
        #expect(first != nil)
        let later = cell.enter()
        #expect(later != two)
        cell.leave(later)
        #expect(first != nil)
        cell.leave(two)
        #expect(first == nil)
    }

    @Test func `a cell whose slots are all held stays empty until one is free`() {
        let cell = Cell()
        var entered: [Int] = []
        for _ in 0..<63 {
            #expect(cell.replace(with: Snapshot()) == nil)
            entered.append(cell.enter())
        }
        #expect(Set(entered) == Set(1...63))
        #expect(cell.replace(with: Snapshot()) == nil)
        #expect(cell.enter() == 0)
        cell.leave(entered[10])
        let late = Snapshot()
        #expect(cell.replace(with: late) == nil)
        let slot = cell.enter()
        #expect(slot == entered[10])
        #expect(cell.holds(late, in: slot))
        for other in entered where other != slot { cell.leave(other) }
        cell.leave(slot)
        #expect(cell.replace(with: nil) === late)
    }

    @Test func `the end of the cell releases its object`() {
        weak var object: Snapshot?
        do {
            let cell = Cell()
            let snapshot = Snapshot()
            object = snapshot
            _ = cell.replace(with: snapshot)
        }
        #expect(object == nil)
    }
}
