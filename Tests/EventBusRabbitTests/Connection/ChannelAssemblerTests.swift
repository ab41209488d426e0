import EventBus
import Testing

@testable import EventBusRabbit

@Suite(.timeLimit(.minutes(1)))
struct ChannelAssemblerTests {
    private var assembler = ChannelAssembler(maximumBodySize: 100)
    private let deliver = IncomingMethod.deliver(
        deliveryTag: 7,
        isRedelivered: true,
        exchange: "e",
        routingKey: "r"
    )

    private func delivery(_ content: ChannelAssembler.Content?) -> AMQPDelivery? {
        if case .delivered(let delivery)? = content { delivery } else { nil }
    }

    @Test mutating func `a body comes in as many frames as it likes`() throws {
        try assembler.begin(deliver)
        #expect(delivery(try assembler.header(bodySize: 5, AMQPProperties())) == nil)
        #expect(delivery(try assembler.body([1, 2])) == nil)
        #expect(delivery(try assembler.body([])) == nil)
        let complete = delivery(try assembler.body([3, 4, 5]))
        #expect(complete?.message.body == [1, 2, 3, 4, 5])
        #expect(complete?.deliveryTag == 7)
        #expect(complete?.isRedelivered == true)
    }

    @Test mutating func `an empty body is complete with its header`() throws {
        try assembler.begin(deliver)
        #expect(delivery(try assembler.header(bodySize: 0, AMQPProperties()))?.message.body == [])
    }

    @Test mutating func `a body beyond the limit is passed over, and reported with its size`() throws {
        try assembler.begin(deliver)
        _ = try assembler.header(bodySize: 101, AMQPProperties())
        _ = try assembler.body([UInt8](repeating: 0, count: 100))
        let complete = delivery(try assembler.body([0]))
        #expect(complete?.message.refusedSize == 101)
        #expect(complete?.message.body == [])
        try assembler.begin(deliver)
    }

    @Test mutating func `an announced size that no memory holds allocates nothing`() throws {
        var large = ChannelAssembler(maximumBodySize: .max)
        try large.begin(deliver)
        #expect(delivery(try large.header(bodySize: .max, AMQPProperties())) == nil)
    }

    @Test mutating func `frames out of order are refused`() throws {
        #expect(throws: ChannelAssembler.UnexpectedFrame.self) { _ = try assembler.body([1]) }
        #expect(throws: ChannelAssembler.UnexpectedFrame.self) {
            _ = try assembler.header(bodySize: 1, AMQPProperties())
        }
        try assembler.begin(deliver)
        #expect(throws: ChannelAssembler.UnexpectedFrame.self) { try assembler.begin(deliver) }
        _ = try assembler.header(bodySize: 1, AMQPProperties())
        #expect(throws: ChannelAssembler.UnexpectedFrame.self) { _ = try assembler.body([1, 2]) }
    }
}
