import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct LockStateTableTests {
    private func at(_ seconds: Int) -> AnyClock.Instant { AnyClock.Instant(offset: .seconds(seconds)) }

    @Test func `a grant is lost once, whoever says so and however often`() {
        var ledger = LockStateTable()
        _ = ledger.note("a", until: at(10), at: at(0))
        #expect(ledger.end("a", isLost: true, at: at(5)) == true)
        #expect(ledger.end("a", isLost: true, at: at(5)) == false)
        #expect(ledger.end("never granted", isLost: true, at: at(5)) == false)
    }

    @Test func `a grant that is given back in time is not lost, and one that is given back too late is`() {
        var ledger = LockStateTable()
        _ = ledger.note("a", until: at(10), at: at(0))
        #expect(ledger.end("a", isLost: false, at: at(9)) == false)
        _ = ledger.note("b", until: at(10), at: at(0))
        #expect(ledger.end("b", isLost: false, at: at(10)) == true)
    }

    @Test func `a renewal moves the end, never back`() {
        var ledger = LockStateTable()
        _ = ledger.note("a", until: at(10), at: at(0))
        ledger.renew("a", until: at(20))
        ledger.renew("a", until: at(15))
        ledger.renew("unknown", until: at(15))
        #expect(ledger.count == 1)
        #expect(ledger.end("a", isLost: false, at: at(19)) == false)
    }

    @Test func `grants that are never given back are forgotten, and told`() {
        var ledger = LockStateTable()
        var lost = 0
        for number in 0..<5000 { lost += ledger.note("\(number)", until: at(number), at: at(number)) }
        #expect(ledger.count <= 1025)
        #expect(lost + ledger.count == 5000)
        // Valid grants are kept, however many there are.
        ledger = LockStateTable()
        for number in 0..<5000 { #expect(ledger.note("\(number)", until: at(10), at: at(0)) == 0) }
        #expect(ledger.count == 5000)
    }
}
