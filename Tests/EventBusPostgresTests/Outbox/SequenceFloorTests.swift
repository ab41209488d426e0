import Testing

@testable import EventBusPostgres

@Suite("The floor of the outbox's numbers")
struct SequenceFloorTests {
    @Test("It rises over numbers when every transaction that could have drawn them has ended")
    func rises() {
        var floor = SequenceFloor()
        floor.note(firstStored: nil, lastNumber: 10, oldestTransaction: 90, nextTransaction: 100)
        #expect(floor.value == 0)
        // Transaction 99 may still store number 9.
        floor.note(firstStored: nil, lastNumber: 20, oldestTransaction: 99, nextTransaction: 120)
        #expect(floor.value == 0)
        floor.note(firstStored: nil, lastNumber: 30, oldestTransaction: 100, nextTransaction: 130)
        #expect(floor.value == 11)
        floor.note(firstStored: nil, lastNumber: 30, oldestTransaction: 131, nextTransaction: 131)
        #expect(floor.value == 31)
    }

    @Test("It stays at the first event that waits, and never falls")
    func stays() {
        var floor = SequenceFloor()
        floor.note(firstStored: 4, lastNumber: 10, oldestTransaction: 1, nextTransaction: 2)
        floor.note(firstStored: 4, lastNumber: 10, oldestTransaction: 2, nextTransaction: 2)
        #expect(floor.value == 4)
        floor.note(firstStored: nil, lastNumber: 0, oldestTransaction: 2, nextTransaction: 2)
        #expect(floor.value == 11)
        floor.note(firstStored: nil, lastNumber: 0, oldestTransaction: 2, nextTransaction: 2)
        floor.note(firstStored: nil, lastNumber: .max, oldestTransaction: 2, nextTransaction: 2)
        floor.note(firstStored: nil, lastNumber: .max, oldestTransaction: 2, nextTransaction: 2)
        #expect(floor.value == .max)
    }
}
