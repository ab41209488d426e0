import EventBus
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct AckTrackerTests {
    private var tracker = AckTracker()

    @Test mutating func `a gapless beginning is acknowledged at once`() {
        for tag in 1...5 { tracker.delivered(UInt64(tag)) }
        for tag in [2, 1, 3] { #expect(tracker.acknowledge(UInt64(tag)) == true) }
        #expect(tracker.flush() == [.init(tag: 3, multiple: true)])
        #expect(tracker.flush() == [])
        #expect(tracker.outstanding == 2)
    }

    @Test mutating func `beyond a delivery that is out each is acknowledged alone`() {
        for tag in 1...5 { tracker.delivered(UInt64(tag)) }
        for tag in [1, 3, 5] { _ = tracker.acknowledge(UInt64(tag)) }
        #expect(
            tracker.flush() == [
                .init(tag: 1, multiple: false), .init(tag: 3, multiple: false), .init(tag: 5, multiple: false),
            ]
        )
    }

    @Test mutating func `nothing is acknowledged twice, and no stranger at all`() {
        tracker.delivered(1)
        #expect(tracker.acknowledge(1) == true)
        #expect(tracker.acknowledge(1) == false)
        #expect(tracker.acknowledge(2) == false)
        #expect(tracker.acknowledge(0) == false)
        #expect(tracker.flush() == [.init(tag: 1, multiple: false)])
        #expect(tracker.acknowledge(1) == false)
    }

    @Test(arguments: [UInt64.max, UInt64.max - 1, UInt64(0), UInt64(1) << 63])
    func `no number that a peer sends is too great`(tag: UInt64) {
        var tracker = AckTracker()
        for _ in 0..<2 {
            tracker.delivered(tag)
            tracker.delivered(tag &+ 1)
            #expect(tracker.acknowledge(tag) == true)
            _ = tracker.acknowledge(tag &+ 1)
            #expect(tracker.flush().contains { $0.tag == tag || $0.tag == tag &+ 1 })
        }
    }

    /// The broker's rules: an acknowledgement names a tag that is unacknowledged, and covers no other tag by mistake.
    @Test(arguments: 0..<200)
    func `in any history the broker is told of exactly what was handled`(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var tracker = AckTracker()
        var out: Set<UInt64> = []
        var broker: Set<UInt64> = []
        var handled: Set<UInt64> = []
        var tag: UInt64 = 0
        for _ in 0..<400 {
            switch Int.random(in: 0..<6, using: &generator) {
            case 0, 1:
                tag += 1
                tracker.delivered(tag)
                out.insert(tag)
                broker.insert(tag)
            case 2, 3:
                guard let one = out.randomElement(using: &generator) else { continue }
                out.remove(one)
                handled.insert(one)
                #expect(tracker.acknowledge(one) == true)
            case 4:
                guard let one = out.randomElement(using: &generator) else { continue }
                out.remove(one)
                #expect(tracker.remove(one) == true)
                broker.remove(one)
            default:
                for acknowledgement in tracker.flush() {
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
