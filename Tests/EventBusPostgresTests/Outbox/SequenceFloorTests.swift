import Testing

@testable import EventBusPostgres

@Suite("The floor of the outbox's numbers")
struct SequenceFloorTests {
    @Test("It rises over numbers when every transaction that could have drawn them has ended")
    func rises() {
        var floor = SequenceFloor()
        floor.note(firstStored: nil, lastNumber: 10, oldestTransaction: 90, transaction: 95)
        #expect(floor.value == 0)
        // Transaction 99 may still store number 9.
        floor.note(firstStored: nil, lastNumber: 20, oldestTransaction: 99, transaction: 120)
        #expect(floor.value == 0)
        floor.note(firstStored: nil, lastNumber: 20, oldestTransaction: 119, transaction: 125)
        #expect(floor.value == 0)
        // Every transaction with an id below 120 has ended.
        floor.note(firstStored: nil, lastNumber: 30, oldestTransaction: 120, transaction: 130)
        #expect(floor.value == 11)
        floor.note(firstStored: nil, lastNumber: 30, oldestTransaction: 131, transaction: 131)
        #expect(floor.value == 31)
    }

    @Test("It stays while the only open transaction is the one that has drawn the last number")
    func staysBelowOpenTransaction() {
        var floor = SequenceFloor()
        floor.note(firstStored: nil, lastNumber: 0, oldestTransaction: 100, transaction: 100)
        // 101 has drawn number 1, and is open.
        for transaction: UInt64 in 102...110 {
            floor.note(firstStored: nil, lastNumber: 1, oldestTransaction: 101, transaction: transaction)
            #expect(floor.value <= 1)
        }
    }

    @Test("It falls to the start when numbers are given again")
    func falls() {
        var floor = SequenceFloor()
        floor.note(firstStored: nil, lastNumber: 10, oldestTransaction: 1, transaction: 1)
        floor.note(firstStored: nil, lastNumber: 10, oldestTransaction: 2, transaction: 2)
        #expect(floor.value == 11)
        floor.note(firstStored: nil, lastNumber: 7, oldestTransaction: 3, transaction: 3)
        #expect(floor.value == 0)
        floor.note(firstStored: nil, lastNumber: 7, oldestTransaction: 4, transaction: 4)
        #expect(floor.value == 8)
    }

    @Test("It stays at the first event that waits")
    func stays() {
        var floor = SequenceFloor()
        floor.note(firstStored: 4, lastNumber: 10, oldestTransaction: 1, transaction: 2)
        floor.note(firstStored: 4, lastNumber: 10, oldestTransaction: 3, transaction: 3)
        #expect(floor.value == 4)
        floor.note(firstStored: nil, lastNumber: 10, oldestTransaction: 4, transaction: 4)
        #expect(floor.value == 11)
        floor.note(firstStored: nil, lastNumber: .max, oldestTransaction: 6, transaction: 6)
        floor.note(firstStored: nil, lastNumber: .max, oldestTransaction: 7, transaction: 7)
        #expect(floor.value == .max)
    }
}
