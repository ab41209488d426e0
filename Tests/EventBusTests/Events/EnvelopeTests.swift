import EventBus
import FoundationEssentials
import Testing

@Suite("Envelopes and codecs", .timeLimit(.minutes(1)))
struct EnvelopeTests {
    @Test("A value that is invalid on the wire is refused by the name of its field")
    func validation() throws {
        let long = String(repeating: "x", count: 256)
        let limit = String(repeating: "x", count: 255)
        func problem(_ change: (inout Envelope) -> Void) -> String? {
            var envelope = Envelope(topic: "a", payload: [])
            change(&envelope)
            do throws(EventBusError) {
                try envelope.validate()
                return nil
            } catch {
                #expect(error.code == .invalidEnvelope)
                return error.message
            }
        }
        #expect(problem { _ in } == nil)
        #expect(problem { $0.id = EventID(limit) } == nil)
        #expect(problem { $0.id = EventID(long) }?.contains("event id") == true)
        #expect(problem { $0.id = EventID("") }?.contains("event id") == true)
        #expect(problem { $0.correlationID = CorrelationID(long) }?.contains("correlation id") == true)
        #expect(problem { $0.causationID = EventID(long) }?.contains("causation id") == true)
        #expect(problem { $0.source = long }?.contains("source") == true)
        #expect(problem { $0.partitionKey = long }?.contains("partition key") == true)
        #expect(problem { $0.contentType = long }?.contains("content type") == true)
        #expect(problem { $0.headers[""] = 1 }?.contains("empty name") == true)
        #expect(problem { $0.headers[String(repeating: "n", count: 129)] = 1 }?.contains("129 bytes") == true)
        #expect(problem { $0.headers["x-eventbus-attempt"] = 1 }?.contains("reserved") == true)
        #expect(problem { $0.headers["CC"] = ["q"] }?.contains("reserved") == true)
        var deep: HeaderValue = 1
        for _ in 0..<32 { deep = .array([deep]) }
        #expect(problem { $0.headers["deep"] = deep } == nil)
        #expect(problem { $0.headers["deep"] = .array([deep]) }?.contains("more than 32") == true)
    }

    @Test(
        "A header that holds a number which is none is refused at any depth",
        arguments: [
            HeaderValue.double(.nan), .double(.infinity), .array([1, .double(-.infinity)]),
            .table(["a": .table(["b": .array([.double(.signalingNaN)])])]),
        ]
    )
    func numbersThatAreNone(value: HeaderValue) {
        let envelope = Envelope(topic: "a", payload: [], headers: ["h": value])
        let error = #expect(throws: EventBusError.self) { try envelope.validate() }
        #expect(error?.code == .invalidEnvelope)
        #expect(error?.message.contains("finite") == true)
    }

    @Test("Headers nested thousands deep are refused without checking all of them")
    func deepHeaders() {
        var deep: HeaderValue = 1
        for _ in 0..<2000 { deep = .table(["t": deep]) }
        let envelope = Envelope(topic: "a", payload: [], headers: ["h": deep])
        let error = #expect(throws: EventBusError.self) { try envelope.validate() }
        #expect(error?.code == .invalidEnvelope)
    }

    @Test("Headers that do not fit into a frame are refused as too large")
    func largeHeaders() throws {
        var envelope = Envelope(topic: "a", payload: [], headers: ["h": .bytes(.init(repeating: 0, count: 119_000))])
        try envelope.validate()
        envelope.headers["other"] = .string(String(repeating: "x", count: 1_000))
        let error = #expect(throws: EventBusError.self) { try envelope.validate() }
        #expect(error?.code == .tooLarge)
    }

    @Test("JSON keeps dates with millisecond precision in RFC 3339 format")
    func dates() throws {
        struct Dated: Codable, Equatable { var at: Date }
        let codec = JSONEventCodec()
        let value = Dated(at: Date(timeIntervalSince1970: 1_700_000_000.123))
        let bytes = try codec.encode(value)
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"at":"2023-11-14T22:13:20.123Z"}"#)
        let back = try codec.decode(Dated.self, from: bytes)
        #expect(abs(back.at.timeIntervalSince(value.at)) < 0.0005)
        #expect(throws: (any Error).self) {
            try codec.encode(Dated(at: Date(timeIntervalSince1970: .infinity)))
        }
    }

    @Test("A message is truncated between characters")
    func messages() {
        let failure = Failure(reason: .handlerFailed, errorType: "E", message: String(repeating: "ü", count: 1000))
        #expect(failure.message.utf8.count == 1024)
        let odd = Failure(reason: .handlerFailed, errorType: "E", message: "x" + String(repeating: "ü", count: 1000))
        #expect(odd.message.utf8.count == 1023)
    }
}
