import ConnectionThread
import DequeModule
import EventBus
import Testing

@testable import EventBusRedis

@Suite(.timeLimit(.minutes(1)))
struct CommandPipelineTests {
    private let now = MonotonicTime(nanoseconds: 1000)

    private func commands(_ count: Int, timeout: UInt64 = 1) -> Deque<PendingCommand> {
        Deque((0..<count).map { PendingCommand(RedisCommand("ECHO", [.integer(Int64($0))]), timeout: timeout) })
    }

    private func send(_ traffic: inout CommandPipeline, atMost count: Int = .max, bytes: Int = .max) -> Int {
        traffic.sendWaiting(maximumInFlight: count, maximumInFlightBytes: bytes, at: now).count
    }

    @Test func `no more are in flight than may be, in number and in bytes`() {
        var traffic = CommandPipeline()
        var submitted = commands(10)
        let size = submitted[0].size
        traffic.admit(&submitted)
        #expect(submitted.isEmpty)
        #expect(send(&traffic, atMost: 3) == 3)
        #expect(send(&traffic, atMost: 3) == 0)
        _ = traffic.land()
        #expect(send(&traffic, atMost: 3) == 1)
        // The last one may exceed the byte limit.
        #expect(send(&traffic, bytes: 5 * size - 1) == 2)
        #expect(send(&traffic, bytes: 5 * size - 1) == 0)
        #expect(send(&traffic) == 4)
        #expect(traffic.waiting.isEmpty)
    }

    @Test func `replies belong to commands in the order in which these were sent, the connection's own among them`() {
        var traffic = CommandPipeline()
        let submitted = commands(3)
        var first: Deque = [submitted[0]]
        traffic.admit(&first)
        _ = send(&traffic)
        traffic.send(RedisCommand("PING"), of: .heartbeat, at: now)
        var rest: Deque = [submitted[1], submitted[2]]
        traffic.admit(&rest)
        _ = send(&traffic)
        var order: [Int?] = []
        while let owner = traffic.land() {
            if case .caller(let command) = owner {
                order.append(submitted.firstIndex { $0 === command })
            } else {
                order.append(nil)
            }
        }
        #expect(order == [0, nil, 1, 2])
    }

    @Test func `what has ended before it was sent is not sent`() {
        var traffic = CommandPipeline()
        let submitted = commands(2)
        var taken = submitted
        traffic.admit(&taken)
        submitted[0].cancel()
        #expect(send(&traffic) == 2)
        #expect(traffic.inFlight.count == 1)
        #expect(traffic.withOutput { $0.count } == submitted[1].size)
    }

    @Test func `time begins once, for what is sent and for what waits on`() {
        var traffic = CommandPipeline()
        let submitted = commands(2, timeout: 10)
        var taken = submitted
        traffic.admit(&taken)
        _ = send(&traffic, atMost: 1)
        #expect(submitted.map(\.deadline?.nanoseconds) == [1010, 1010])
        let later = commands(1, timeout: 10)
        taken = later
        traffic.admit(&taken)
        traffic.begin(at: MonotonicTime(nanoseconds: 2000))
        #expect((submitted + later).map(\.deadline?.nanoseconds) == [1010, 1010, 2010])
    }

    @Test func `what has ended no longer waits`() {
        var traffic = CommandPipeline()
        let submitted = commands(3)
        var taken = submitted
        traffic.admit(&taken)
        let (count, bytes) = traffic.endWaiting { if $0 !== submitted[1] { $0.expire() } }
        #expect(count == 2)
        #expect(bytes == 2 * submitted[0].size)
        #expect(traffic.waiting.elementsEqual([submitted[1]], by: ===))
    }

    @Test func `output that never leaves as a whole does not pile up`() {
        var traffic = CommandPipeline()
        let command = RedisCommand("ECHO", [.bytes([UInt8](repeating: 0, count: 1 << 20))])
        traffic.send(command, of: .heartbeat, at: now)
        for _ in 0..<20 {
            traffic.send(command, of: .heartbeat, at: now)
            traffic.noteWritten(command.wire.count, at: .now)
            #expect(traffic.output.count <= 4 << 20)
            #expect(traffic.withOutput { Array($0) } == command.wire)
        }
    }

    @Test func `output that left in part goes on where it stopped`() {
        var traffic = CommandPipeline()
        traffic.send(RedisCommand("PING"), of: .heartbeat, at: now)
        let whole = RedisCommand("PING").wire
        traffic.noteWritten(4, at: .now)
        #expect(traffic.withOutput { Array($0) } == Array(whole[4...]))
        traffic.noteWritten(whole.count - 4, at: .now)
        #expect(!traffic.hasOutput)
        #expect(!traffic.isEmpty)
    }
}
