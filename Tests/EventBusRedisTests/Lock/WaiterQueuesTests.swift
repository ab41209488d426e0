import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct WaiterQueuesTests {
    @Test func `the first to join looks after the line, and the next when it leaves`() {
        var lines = WaiterQueues()
        for token in ["a", "b", "c"] { lines.join(token, for: "r") }
        #expect(["a", "b", "c"].map { lines.isFirst($0) } == [true, false, false])
        #expect(lines.leave("a") == "b")
        #expect(lines.isFirst("b"))
    }

    @Test func `who leaves from the middle changes nothing for the others`() {
        var lines = WaiterQueues()
        for token in ["a", "b", "c"] { lines.join(token, for: "r") }
        #expect(lines.leave("b") == nil)
        #expect(lines.isFirst("a"))
        #expect(lines.leave("a") == "c")
        #expect(lines.leave("c") == nil)
        #expect(lines.tokens.isEmpty)
    }

    @Test func `each resource has a line of its own`() {
        var lines = WaiterQueues()
        lines.join("a", for: "r")
        lines.join("b", for: "s")
        #expect(lines.isFirst("a") && lines.isFirst("b"))
        #expect(lines.leave("a") == nil)
        #expect(lines.isFirst("b"))
        #expect(lines.tokens == ["b"])
    }

    @Test func `who is in no line is neither known nor first, and may leave`() {
        var lines = WaiterQueues()
        #expect(!lines.contains("x") && !lines.isFirst("x"))
        #expect(lines.leave("x") == nil)
        lines.join("a", for: "r")
        #expect(lines.leave("a") == nil)
        #expect(lines.leave("a") == nil)
        #expect(!lines.contains("a"))
    }
}
