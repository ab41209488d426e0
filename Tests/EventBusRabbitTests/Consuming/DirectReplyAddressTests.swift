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

    @Test func `few new nodes are admitted in an hour, and those that are known always`() {
        let nodes = ReplyNodes()
        let start = MonotonicTime.now
        func name(_ number: Int) -> ArraySlice<UInt8> { Array("generated@\(number)".utf8)[...] }
        for number in 0..<1000 { #expect(nodes.admits(name(number), now: start) == (number < ReplyNodes.maximumNew)) }
        #expect(nodes.admits(name(0), now: start))
        let later = start.advanced(by: ReplyNodes.period)
        #expect(nodes.admits(name(999), now: later))
        for number in 2000..<2100 { _ = nodes.admits(name(number), now: later) }
        #expect(!nodes.admits(name(2100), now: later))
        #expect(nodes.admits(name(0), now: later))
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
