import EventBus
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct DelayRouteTests {
    @Test(arguments: [
        (1, 0, 1), (100, 0, 1), (101, 1, 2), (200, 1, 2), (300, 1, 3), (6300, 5, 63), (104_857_500, 19, 1_048_575),
    ])
    func `a delay enters at its highest bit and waits no less than asked`(milliseconds: Int, level: Int, units: Int)
        throws
    {
        let route = try DelayRoute(delay: .milliseconds(milliseconds), to: .queue("group.name"))
        #expect(route.exchange == "eventbus.delay.v1.\(level)")
        let words = route.routingKey.split(separator: ".")
        #expect(words.suffix(3) == ["r", "group", "name"])
        #expect(Int(words.prefix(20).joined(), radix: 2) == units)
        #expect(words.count == 23)
    }

    @Test func `a delay that the levels cannot hold is refused`() {
        for delay in [Duration.milliseconds(104_857_501), .seconds(1 << 40), .seconds(Int64.max)] {
            let error = #expect(throws: EventBusError.self) { try DelayRoute(delay: delay, to: .queue("a.b")) }
            #expect(error?.code == .unsupported)
        }
    }

    @Test func `the longest topic and queue fit into a routing key`() throws {
        let topic = try Topic(validating: String(repeating: "t", count: 200))
        let route = try DelayRoute(delay: .seconds(1), to: .topic(topic, exchange: "events"))
        #expect(route.routingKey.utf8.count <= 255)
        let token = DelayRoute.token(of: "events")
        #expect(DelayRoute.exitPattern("e.\(token).\(topic)").utf8.count <= 255)
    }

    @Test func `patterns of a level ask for its own bit`() {
        #expect(DelayRoute.pattern(bit: 1, ofLevel: 19) == "1.#")
        #expect(DelayRoute.pattern(bit: 0, ofLevel: 17) == "*.*.0.#")
    }

    @Test func `a clash is understood in both spellings of the broker`() {
        let argument = TopologyClash(
            "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'a.b' in vhost '/': received the value 'quorum' "
                + "of type 'longstr' but current is the value 'classic' of type 'longstr'"
        )
        #expect(argument?.argument == "x-queue-type")
        #expect(argument?.object == "queue 'a.b'")
        #expect(argument?.wanted == "'quorum'")
        #expect(argument?.found == "'classic'")
        let property = TopologyClash(
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'"
        )
        #expect(property?.found == "'false'")
        #expect(TopologyClash("PRECONDITION_FAILED - unknown delivery tag 7") == nil)
    }
}
