import EventBus
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct AckLedgerTests {
    private var ledger = AckLedger()

    @Test mutating func `a gapless beginning is acknowledged at once`() {
        for tag in 1...5 { ledger.delivered(UInt64(tag)) }
        for tag in [2, 1, 3] { #expect(ledger.acknowledge(UInt64(tag)) == true) }
        #expect(ledger.flush() == [.init(tag: 3, multiple: true)])
        #expect(ledger.flush() == [])
        #expect(ledger.outstanding == 2)
    }

    @Test mutating func `beyond a delivery that is out each is acknowledged alone`() {
        for tag in 1...5 { ledger.delivered(UInt64(tag)) }
        for tag in [1, 3, 5] { _ = ledger.acknowledge(UInt64(tag)) }
        #expect(
            ledger.flush() == [
                .init(tag: 1, multiple: false), .init(tag: 3, multiple: false), .init(tag: 5, multiple: false),
            ]
        )
    }

    @Test mutating func `nothing is acknowledged twice, and no stranger at all`() {
        ledger.delivered(1)
        #expect(ledger.acknowledge(1) == true)
        #expect(ledger.acknowledge(1) == false)
        #expect(ledger.acknowledge(2) == false)
        #expect(ledger.acknowledge(0) == false)
        #expect(ledger.flush() == [.init(tag: 1, multiple: false)])
        #expect(ledger.acknowledge(1) == false)
    }

    @Test(arguments: [UInt64.max, UInt64.max - 1, UInt64(0), UInt64(1) << 63])
    func `no number that a peer sends is too great`(tag: UInt64) {
        var ledger = AckLedger()
        for _ in 0..<2 {
            ledger.delivered(tag)
            ledger.delivered(tag &+ 1)
            #expect(ledger.acknowledge(tag) == true)
            _ = ledger.acknowledge(tag &+ 1)
            #expect(ledger.flush().contains { $0.tag == tag || $0.tag == tag &+ 1 })
        }
    }

    /// The broker's rules: an acknowledgement names a tag that is unacknowledged, and covers no other tag by mistake.
    @Test(arguments: 0..<200)
    func `in any history the broker is told of exactly what was handled`(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var ledger = AckLedger()
        var out: Set<UInt64> = []
        var broker: Set<UInt64> = []
        var handled: Set<UInt64> = []
        var tag: UInt64 = 0
        for _ in 0..<400 {
            switch Int.random(in: 0..<6, using: &generator) {
            case 0, 1:
                tag += 1
                ledger.delivered(tag)
                out.insert(tag)
                broker.insert(tag)
            case 2, 3:
                guard let one = out.randomElement(using: &generator) else { continue }
                out.remove(one)
                handled.insert(one)
                #expect(ledger.acknowledge(one) == true)
            case 4:
                guard let one = out.randomElement(using: &generator) else { continue }
                out.remove(one)
                #expect(ledger.remove(one) == true)
                broker.remove(one)
            default:
                for acknowledgement in ledger.flush() {
                    #expect(broker.contains(acknowledgement.tag), "the broker closes the channel")
                    let covered =
                        acknowledgement.multiple ? broker.filter { $0 <= acknowledgement.tag } : [acknowledgement.tag]
                    #expect(handled.isSuperset(of: covered))
                    broker.subtract(covered)
                }
                #expect(broker == out, "what was handled is not all told")
            }
        }
    }
}
