import ConnectionThread
import Testing

@testable import EventBusRabbit

struct DirectReplyAddressTests {
    @Test(arguments: [ForgedReplyTo.wrongHash, ForgedReplyTo.address(node: "reply@134217727")])
    func `an address of the broker's own form is accepted`(address: String) {
        #expect(ReplyQueues().contains(address))
    }

    @Test(arguments: ForgedReplyTo.malformed)
    func `an address that the broker cannot decode is refused`(address: String) {
        #expect(!ReplyQueues().contains(address))
        // An entry for everything is meant for queues.
        #expect(!ReplyQueues(allowed: ["*"]).contains(address))
    }

    private func name(_ number: Int) -> ArraySlice<UInt8> { Array("generated@\(number)".utf8)[...] }

    @Test func `few new nodes are admitted at once, one more each minute, and those that are known always`() {
        let nodes = ReplyNodes()
        let start = MonotonicTime.now
        for number in 0..<1000 { #expect(nodes.admits(name(number), now: start) == (number < ReplyNodes.maximumNew)) }
        #expect(nodes.admits(name(0), now: start))
        for minute in 1...200 {
            let later = start.advanced(by: ReplyNodes.period * minute)
            #expect(nodes.admits(name(10_000 + minute), now: later), "an honest one after \(minute) minutes")
            #expect(!nodes.admits(name(20_000 + minute), now: later))
            #expect(nodes.admits(name(0), now: later))
        }
        // After a long time, not more than at first.
        let end = start.advanced(by: ReplyNodes.period * 10_000)
        let admitted = (30_000..<31_000).count { nodes.admits(name($0), now: end) }
        #expect(admitted == ReplyNodes.maximumNew)
    }

    @Test(arguments: [
        ("3.10.8", true), ("4.0.5", true), ("4.1.99", true), ("", true), ("unknown", true), ("4", true),
        ("4.2.0", false), ("4.10.1", false), ("4.2.0-rc.1", false), ("5.0", false),
    ])
    func `only a broker that keeps the names of nodes has a limit`(version: String, isLimited: Bool) {
        let nodes = ReplyNodes()
        nodes.connected(to: version)
        let admitted = (0..<1000).count { nodes.admits(name($0)) }
        #expect(admitted == (isLimited ? ReplyNodes.maximumNew : 1000))
        // Another node of the cluster may be older.
        nodes.connected(to: "3.13.7")
        #expect((1000..<2000).count { nodes.admits(name($0)) } <= ReplyNodes.maximumNew)
    }

    @Test func `addresses with one byte changed never trap`() {
        let address = Array(ForgedReplyTo.wrongHash.utf8)
        for index in address.indices {
            for byte: UInt8 in [0, UInt8(ascii: "."), UInt8(ascii: "="), UInt8(ascii: "A"), 0xFF] {
                var changed = address
                changed[index] = byte
                _ = ReplyQueues().contains(String(decoding: changed, as: UTF8.self))
                _ = ReplyQueues().contains(String(decoding: changed[...index], as: UTF8.self))
            }
        }
    }
}
