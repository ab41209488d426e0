import EventBus
import EventBusGzip
import EventBusInMemory
import EventBusTesting
import Testing

@testable import EventBusEncryption

@Suite("Encryption", .timeLimit(.minutes(1)))
struct EncryptionStepTests {
    private let secret = Array("four and twenty blackbirds".utf8)
    private let (old, new): (EncryptionKey, EncryptionKey)

    init() throws {
        old = try .random(id: "2025")
        new = try .random(id: "2026")
    }

    private func envelope(_ payload: [UInt8]? = nil) -> Envelope {
        Envelope(id: "event-1", topic: "pie.baked", payload: payload ?? secret, headers: ["tenant": "acme"])
    }

    private func encrypted(with key: EncryptionKey, _ payload: [UInt8]? = nil) throws -> Envelope {
        var envelope = envelope(payload)
        #expect(try EncryptionStep(key: key).encode(&envelope))
        return envelope
    }

    private func problem(_ envelope: Envelope, _ step: EncryptionStep) -> String? {
        var envelope = envelope
        do {
            try step.decode(&envelope)
            return nil
        } catch let error as EventBusError where error.code == .decodingFailed {
            return error.message
        } catch {
            return "another error: \(error)"
        }
    }

    @Test("The cipher is that of the standard: test case 16 of McGrew and Viega, with 256 bits")
    func knownAnswer() {
        func bytes(_ hex: String) -> [UInt8] {
            let digits = Array(hex)
            return stride(from: 0, to: digits.count, by: 2).compactMap {
                UInt8(String(digits[$0...($0 + 1)]), radix: 16)
            }
        }
        let key = bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
        let nonce = bytes("cafebabefacedbaddecaf888")
        let context = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2")
        let message = bytes(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
                + "ba637b39"
        )
        let sealed = bytes(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
                + "bcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
        )
        #expect(AESGCM.seal(message, key: key, nonce: nonce, context: context) == nonce + sealed)
        #expect(AESGCM.open(nonce + sealed, key: key, context: context) == message)
    }

    @Test("A payload is encrypted differently each time, and decrypted", arguments: [0, 1, 15, 16, 17, 100_000])
    func roundTrip(size: Int) throws {
        let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
        let first = try encrypted(with: new, payload)
        #expect(first.payload.count == size + 28)
        #expect(try encrypted(with: new, payload).payload != first.payload)
        #expect(first.headers[EncryptionStep.keyHeader] == "2026")
        var decrypted = first
        try EncryptionStep(key: new).decode(&decrypted)
        #expect(decrypted == envelope(payload).with(time: decrypted.time))
    }

    @Test("A former and a next key decrypt, and an unknown one is named")
    func rotation() throws {
        let envelope = try encrypted(with: old)
        #expect(problem(envelope, try EncryptionStep(key: new, otherKeys: [old])) == nil)
        #expect(problem(try encrypted(with: new), try EncryptionStep(key: old, otherKeys: [new])) == nil)
        #expect(problem(envelope, try EncryptionStep(key: new))?.contains(#"unknown key "2025"; known: 2026"#) == true)
        var unnamed = envelope
        unnamed.headers[EncryptionStep.keyHeader] = nil
        #expect(problem(unnamed, try EncryptionStep(key: old))?.contains("no header encryption-key-id") == true)
        unnamed.headers[EncryptionStep.keyHeader] = 2025
        #expect(problem(unnamed, try EncryptionStep(key: old))?.contains("no header encryption-key-id") == true)
    }

    @Test("A payload of another topic, event, version, content type, inner encoding or key is refused")
    func bound() throws {
        let changes: [(String, (inout Envelope) -> Void)] = [
            ("topic", { $0.topic = "pie.eaten" }),
            ("id", { $0.id = "event-2" }),
            ("version", { $0.version = 2 }),
            ("content type", { $0.contentType = "text/plain" }),
            ("inner encoding", { $0.contentEncoding = "gzip" }),
            ("key", { $0.headers[EncryptionStep.keyHeader] = "2025" }),
        ]
        let step = try EncryptionStep(key: new, otherKeys: [old])
        #expect(problem(try encrypted(with: new), step) == nil)
        for (name, change) in changes {
            var envelope = try encrypted(with: new)
            change(&envelope)
            #expect(problem(envelope, step)?.contains("another event") == true, "\(name)")
        }
    }

    @Test("Every truncation and every changed bit is refused")
    func damaged() throws {
        let step = try EncryptionStep(key: new)
        let whole = try encrypted(with: new)
        for length in whole.payload.indices {
            var envelope = whole
            envelope.payload = Array(whole.payload.prefix(length))
            #expect(problem(envelope, step) != nil, "\(length) bytes")
        }
        for index in whole.payload.indices {
            for bit in 0..<8 {
                var envelope = whole
                envelope.payload[index] ^= 1 << bit
                #expect(problem(envelope, step) != nil, "byte \(index), bit \(bit)")
            }
        }
    }

    @Test("Keys of the wrong size, and two keys of one name, are refused, and no description reveals a secret")
    func keys() throws {
        for (id, count) in [("2026", 16), ("2026", 0), ("", 32), (String(repeating: "x", count: 256), 32)] {
            #expect { try EncryptionKey(id: id, bytes: Array(repeating: 1, count: count)) } throws: {
                ($0 as? EventBusError)?.code == .invalidConfiguration
            }
        }
        let twin = try EncryptionKey.random(id: "2026")
        #expect { try EncryptionStep(key: new, otherKeys: [twin]) } throws: {
            ($0 as? EventBusError)?.code == .invalidConfiguration
        }
        _ = try EncryptionStep(key: new, otherKeys: [new])
        let known = try EncryptionKey(id: "2026", bytes: Array(repeating: 201, count: 32))
        var dumped = ""
        dump(try EncryptionStep(key: known), to: &dumped)
        #expect(!dumped.contains("201"))
        #expect(!"\(known) \(String(reflecting: known))".contains("201"))
    }

    @Test("Compressed and then encrypted events are handled, plain ones and those of another topic dead-lettered")
    func onTheBus() async throws {
        let broker = InMemoryBroker(clock: ManualClock())
        var configuration = EventBusConfiguration()
        configuration.payloadSteps = [GzipStep(minimumSize: 0), try EncryptionStep(key: new)]
        let bus = EventBus(transport: .inMemory(broker), configuration: configuration)
        let foreign = EventBus(transport: .inMemory(broker))
        let handled = Locked<[String]>([])
        bus.subscribe(to: PieBaked.self, group: "kitchen") { pie, context in
            #expect(context.headers[EncryptionStep.keyHeader] == nil)
            handled.withLock { $0.append(pie.filling) }
        }
        bus.subscribe(to: PieEaten.self, group: "kitchen") { pie in Issue.record("handled \(pie)") }
        let pie = PieBaked(filling: String(repeating: "blackbird ", count: 24))
        try await bus.withRunning {
            try await foreign.withRunning {
                let envelope = try bus.envelope(for: pie)
                #expect(envelope.contentEncoding == "gzip, aes256gcm")
                try await bus.publish(envelope)
                var replayed = envelope
                replayed.topic = PieEaten.topic
                try await foreign.publish(replayed)
                try await foreign.publish(PieEaten(filling: "none"))
                try await broker.settled()
                let letters = try await bus.deadLetters(of: "kitchen").entries()
                #expect(letters.count == 2)
                #expect(letters.contains { $0.failure.message.contains("encrypted for another event") })
                #expect(
                    letters.contains { $0.failure.message.contains(#"does not have the content encoding "aes256gcm""#) }
                )
                #expect(letters.contains { $0.envelope.payload == envelope.payload })
            }
        }
        #expect(handled.withLock { $0 } == [pie.filling])
    }
}

extension Envelope {
    fileprivate func with(time: EventTime) -> Envelope {
        var envelope = self
        envelope.time = time
        return envelope
    }
}

private struct PieBaked: Event {
    static let topic: Topic = "pie.baked"
    var filling: String
}

private struct PieEaten: Event {
    static let topic: Topic = "pie.eaten"
    var filling: String
}
