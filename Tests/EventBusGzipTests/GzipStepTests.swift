import EventBus
import EventBusGzip
import EventBusInMemory
import EventBusTesting
import Testing

@Suite("Gzip", .timeLimit(.minutes(1)))
struct GzipStepTests {
    private static let text = Array(String(repeating: "Alle meine Entchen. ", count: 200).utf8)

    /// The text "hello, gzip" as Python's gzip.compress(…, mtime=0) writes it.
    private static let foreign: [UInt8] = [
        0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xCB, 0x48, 0xCD, 0xC9, 0xC9, 0xD7, 0x51, 0x48,
        0xAF, 0xCA, 0x2C, 0x00, 0x00, 0x4A, 0x9B, 0xB1, 0x5C, 0x0B, 0x00, 0x00, 0x00,
    ]

    private func envelope(_ payload: [UInt8]) -> Envelope { Envelope(topic: "letter.written", payload: payload) }

    private func compressed(_ payload: [UInt8] = text) throws -> [UInt8] {
        var envelope = envelope(payload)
        #expect(try GzipStep(minimumSize: 0).encode(&envelope))
        return envelope.payload
    }

    private func decompressed(_ payload: [UInt8], maximumSize: Int = 1 << 20) throws -> [UInt8] {
        var envelope = envelope(payload)
        try GzipStep(maximumSize: maximumSize).decode(&envelope)
        return envelope.payload
    }

    private func problem(_ payload: [UInt8], maximumSize: Int = 1 << 20) -> String? {
        do {
            _ = try decompressed(payload, maximumSize: maximumSize)
            return nil
        } catch let error as EventBusError where error.code == .decodingFailed {
            return error.message
        } catch {
            return "another error: \(error)"
        }
    }

    @Test("A payload is compressed to the same bytes each time, and decompressed", arguments: [-1, 1, 6, 9, 99])
    func roundTrip(level: Int) throws {
        var (first, second) = (envelope(Self.text), envelope(Self.text))
        let step = GzipStep(level: level)
        #expect(try step.encode(&first))
        #expect(try step.encode(&second))
        #expect(first.payload == second.payload)
        #expect(first.payload.count < Self.text.count / 10)
        try step.decode(&first)
        #expect(first.payload == Self.text)
    }

    @Test("A small payload, and one that compression does not make smaller, is left as it is")
    func left() throws {
        var generator = SystemRandomNumberGenerator()
        let random = (0..<4096).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        for (step, payload) in [
            (GzipStep(), Array(Self.text.prefix(1023))), (GzipStep(), random),
            (GzipStep(minimumSize: 0), []), (GzipStep(minimumSize: 0), [1]),
        ] {
            var envelope = envelope(payload)
            #expect(try !step.encode(&envelope))
            #expect(envelope.payload == payload)
        }
    }

    @Test("A payload beyond the maximum size is refused when it is published and when it is decompressed")
    func bounded() throws {
        let bomb = try compressed([UInt8](repeating: 0, count: 1 << 20))
        #expect(try decompressed(bomb, maximumSize: 1 << 20).count == 1 << 20)
        #expect(problem(bomb, maximumSize: 1 << 20 - 1)?.contains("more than \(1 << 20 - 1) bytes") == true)
        #expect(problem(bomb, maximumSize: 0)?.contains("more than 0 bytes") == true)
        var large = envelope(Self.text)
        #expect { try GzipStep(maximumSize: Self.text.count - 1).encode(&large) } throws: {
            ($0 as? EventBusError)?.code == .tooLarge
        }
    }

    @Test("The members of a payload are joined, as by every other reader of gzip")
    func members() throws {
        #expect(try decompressed(Self.foreign + Self.foreign) == Array("hello, gziphello, gzip".utf8))
        // The bound is for all of them.
        #expect(problem(Self.foreign + Self.foreign, maximumSize: 21)?.contains("more than 21 bytes") == true)
    }

    @Test("Every truncation and every changed byte is an error or the same text, and never a trap")
    func damaged() throws {
        let whole = try compressed()
        for length in 0..<whole.count { #expect(problem(Array(whole.prefix(length))) != nil, "\(length) bytes") }
        for index in whole.indices {
            for bit in 0..<8 {
                var changed = whole
                changed[index] ^= 1 << bit
                if problem(changed) == nil {
                    #expect(try decompressed(changed) == Self.text, "byte \(index), bit \(bit)")
                }
            }
        }
        #expect(problem(whole + [0, 0, 0]) != nil)
        #expect(problem(Array("{\"a\":1}".utf8))?.contains("incorrect header check") == true)
    }

    @Test("A compressed event is handled, and one that is damaged is dead-lettered with the reason")
    func onTheBus() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        var configuration = EventBusConfiguration()
        configuration.payloadSteps = [GzipStep()]
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        let letter = Letter(text: String(decoding: Self.text, as: UTF8.self))
        let handled = Locked<[Letter]>([])
        bus.subscribe(to: Letter.self, group: "readers") { letter in handled.withLock { $0.append(letter) } }
        var damaged = try bus.envelope(for: letter)
        #expect(damaged.contentEncoding == "gzip")
        damaged.payload.removeLast()
        let sent = damaged
        try await bus.withRunning {
            try await bus.publish(letter)
            try await bus.publish(sent)
            try await broker.settled()
            let dead = try #require(try await bus.deadLetters(of: "readers").entries().first)
            #expect(dead.envelope == sent)
            #expect(dead.failure.message.contains("it ends before its data does"))
        }
        #expect(handled.withLock { $0 } == [letter])
    }
}

private struct Letter: Event, Equatable {
    static let topic: Topic = "letter.written"
    var text: String
}
