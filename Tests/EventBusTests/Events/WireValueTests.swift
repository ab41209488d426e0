import EventBus
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Values that cannot be sent", .timeLimit(.minutes(1)))
struct WireValueTests {
    @Test("A name in a header's table has the same length limit")
    func nestedNames() async throws {
        let long = String(repeating: "x", count: 300)
        for value: HeaderValue in [[long: 1], ["a": [long: 1]], [[[long: 1]]]] {
            let bus = EventBus(transport: .inMemory())
            try await bus.withRunning {
                let error = await #expect(throws: EventBusError.self) {
                    try await bus.publish(OrderCreated(orderID: "1"), options: .init(headers: ["table": value]))
                }
                #expect(error?.code == .invalidEnvelope)
            }
        }
    }

    @Test("The first and the last possible time can be written")
    func extremeTimes() {
        #expect(EventTime(milliseconds: .min).rfc3339.hasPrefix("-"))
        #expect(!EventTime(milliseconds: .max).rfc3339.isEmpty)
    }

    @Test("A date that could not be read again is not published")
    func unreadableDate() throws {
        let codec = JSONEventCodec()
        #expect(throws: EncodingError.self) { _ = try codec.encode([EventTime(milliseconds: 253_402_300_800_000)]) }
        #expect(throws: EncodingError.self) { _ = try codec.encode([EventTime(milliseconds: -62_167_219_200_001)]) }
        for milliseconds in [253_402_300_799_999, -62_167_219_200_000] as [Int64] {
            let time = EventTime(milliseconds: milliseconds)
            let again = try codec.decode([EventTime].self, from: try codec.encode([time]))
            #expect(again == [time])
        }
    }
}
